"""Reading clips from where they are kept: HDF5 files, packs and other Parquet files, on this machine or elsewhere."""
