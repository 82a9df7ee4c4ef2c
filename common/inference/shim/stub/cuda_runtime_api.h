/* What TensorRT's headers need of CUDA's, so that no CUDA is needed to compile the shim: two handles, which it only passes on. */
#ifndef FLUKEWATCH_CUDA_STUB_H
#define FLUKEWATCH_CUDA_STUB_H
typedef struct CUstream_st *cudaStream_t;
typedef struct CUevent_st *cudaEvent_t;
#endif
