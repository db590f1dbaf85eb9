"""AmazonFashion, the paper's second data set: built from Amazon Reviews metadata, whose photos are fetched from the web."""
