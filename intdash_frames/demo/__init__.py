"""A two-minute drive, made by a seeded generator: data to look at where no vehicle is at hand."""
