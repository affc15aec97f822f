"""The networks: UNet, conditional VAE, CGCNN; their configurations (no Keras), layers, prior, graphs and checkpoints."""
