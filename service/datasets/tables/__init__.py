"""Tables of images and labels: parquet files, with what Hugging Face writes of them, and text."""
