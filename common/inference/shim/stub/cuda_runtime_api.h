/* The two handle types that TensorRT's headers need from CUDA's, so that the shim compiles without CUDA; it only passes them on. */
#ifndef FLUKEWATCH_CUDA_STUB_H
#define FLUKEWATCH_CUDA_STUB_H
typedef struct CUstream_st *cudaStream_t;
typedef struct CUevent_st *cudaEvent_t;
#endif
