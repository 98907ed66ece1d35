// Caffe's headers. Its registry of layers lives in a static variable of an inline function: it must stay
// visible, so that the plugin and Caffe share one.
#pragma once

#pragma GCC visibility push(default)
#include "caffe/blob.hpp"
#include "caffe/layer.hpp"
#include "caffe/layer_factory.hpp"
#include "caffe/proto/caffe.pb.h"
#include "caffe/util/math_functions.hpp"
#pragma GCC visibility pop
