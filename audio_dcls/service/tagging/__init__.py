"""Tag uploads and live streams of samples."""
