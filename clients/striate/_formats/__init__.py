"""The forms that results leave Python in: PNG files, tensors, files on disk, HTML of notebooks."""
