"""The file name extensions by which each kind of manifest is recognised, in lower case."""

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf")
PARQUET_SUFFIX = ".parquet"
INDEX_SUFFIX = ".clips"
MANIFEST_SUFFIXES = (".csv", INDEX_SUFFIX, PARQUET_SUFFIX, *HDF5_SUFFIXES)
