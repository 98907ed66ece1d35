// The layer on CUDA devices.
#include "instances.hpp"
