"""The commands of `caffe`: train, test, time and device_query, one module each with `run(flags)`, loaded when chosen."""
