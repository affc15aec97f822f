"""From a request to crystals: bases, decoding and reading (density_vae), the funnel, rows of the result."""
