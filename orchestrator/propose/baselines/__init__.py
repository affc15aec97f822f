"""Who the loop is compared with at equal cost: arms that get a share of the relaxations, and how the seats are dealt."""
