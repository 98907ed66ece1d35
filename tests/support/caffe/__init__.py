"""What tests of package caffe share."""
