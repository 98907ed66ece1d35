// The same jobs in loops on the host, for tests on machines without a CUDA device.
#include "instances.hpp"
