/* The interface between Flukewatch and its shim for TensorRT: plain C, without TensorRT or CUDA types.
 *
 * The shim is compiled once for each major version of TensorRT, whose C++ interface differs between them. It opens TensorRT and CUDA
 * at run time: nothing links to them. `common/inference/src/engine/tensorrt/abi.rs` is this file in Rust; a change of one requires the
 * same change of the other and a higher FLUKEWATCH_TRT_ABI.
 *
 * Every function that can fail returns a status and writes a readable reason into `why`, truncated to `why_bytes` and always
 * NUL-terminated. No function throws. A handle has one user at a time; it may move between threads.
 */
#ifndef FLUKEWATCH_TRT_H
#define FLUKEWATCH_TRT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FLUKEWATCH_TRT_ABI 2

#if defined(__GNUC__)
#define FLUKEWATCH_TRT_EXPORT __attribute__((visibility("default")))
#else
#define FLUKEWATCH_TRT_EXPORT
#endif

enum {
    FLUKEWATCH_TRT_OK = 0,
    /* libcuda.so.1 is missing or does not start: no NVIDIA driver. */
    FLUKEWATCH_TRT_NO_DRIVER = 1,
    /* There is a driver, but no usable GPU. */
    FLUKEWATCH_TRT_NO_DEVICE = 2,
    /* libnvinfer or the ONNX parser of this major is not installed. */
    FLUKEWATCH_TRT_NO_LIBRARY = 3,
    /* The library has another major version than the headers that the shim was compiled with. */
    FLUKEWATCH_TRT_OTHER_MAJOR = 4,
    /* TensorRT cannot read the ONNX file. */
    FLUKEWATCH_TRT_NOT_PARSED = 5,
    /* TensorRT read the model but cannot build a plan from it. */
    FLUKEWATCH_TRT_NOT_BUILT = 6,
    /* The caller cancelled the build. */
    FLUKEWATCH_TRT_STOPPED = 7,
    /* TensorRT rejects the plan: made by another version, for another GPU, or damaged. */
    FLUKEWATCH_TRT_NOT_LOADED = 8,
    /* The plan does not map one image to one vector. */
    FLUKEWATCH_TRT_UNFIT = 9,
    /* The GPU failed on an image or on a memory allocation. */
    FLUKEWATCH_TRT_FAILED = 10,
    /* The caller broke this contract. */
    FLUKEWATCH_TRT_MISUSE = 11
};

/* The level of a line of TensorRT's log. */
enum { FLUKEWATCH_TRT_LOG_ERROR = 0, FLUKEWATCH_TRT_LOG_WARNING = 1, FLUKEWATCH_TRT_LOG_INFO = 2 };

/* TensorRT and a GPU. */
typedef struct flukewatch_trt flukewatch_trt;
/* A plan loaded on that GPU. */
typedef struct flukewatch_trt_plan flukewatch_trt_plan;

/* Receives a line of TensorRT's log, from any thread, also when nothing is open: TensorRT has threads and exit handlers of its own. It
 * must not call `flukewatch_trt_set_log`. */
typedef void (*flukewatch_trt_log)(void *user, int32_t level, const char *line);
/* Receives the whole plan in one call; returns 0 if it was stored. */
typedef int32_t (*flukewatch_trt_keep)(void *user, const void *bytes, size_t count);
/* Called repeatedly while a plan is built, from any thread; 0 cancels the build. TensorRT 8.5 does not call it. */
typedef int32_t (*flukewatch_trt_go_on)(void *user);

typedef struct {
    /* Files to open; NULL for those that the system's loader finds by name. */
    const char *cuda;
    const char *infer;
    const char *parser;
    /* The index of the GPU, from 0. */
    int32_t device;
    int32_t reserved;
} flukewatch_trt_where;

typedef struct {
    /* The version of TensorRT's library: major, minor, patch, build; -1 for an unknown part. */
    int32_t library[4];
    /* The same of the headers that the shim was compiled with. */
    int32_t headers[4];
    /* The CUDA version of the driver: 12060 is CUDA 12.6. */
    int32_t driver;
    /* Compute capability. */
    int32_t compute_major;
    int32_t compute_minor;
    int32_t reserved;
    uint64_t memory_bytes;
    /* The name of the GPU, NUL-terminated. */
    char gpu[128];
} flukewatch_trt_about;

typedef struct {
    /* The memory that TensorRT may use to try out layers. */
    uint64_t workspace_bytes;
    /* The model holds QuantizeLinear and DequantizeLinear. */
    int32_t int8;
    /* Layers that are not int8 may run in 16 bits. Ignored by TensorRT 11 and later, which use the types in the file. */
    int32_t fp16;
} flukewatch_trt_options;

typedef struct {
    /* [1, C, H, W] */
    int64_t input[4];
    /* D of the output [1, D] */
    int64_t dimension;
} flukewatch_trt_shape;

/* FLUKEWATCH_TRT_ABI of the shim; every version of the shim has this function. */
FLUKEWATCH_TRT_EXPORT uint32_t flukewatch_trt_abi(void);
/* Major version of the headers that it was compiled with. */
FLUKEWATCH_TRT_EXPORT int32_t flukewatch_trt_major(void);

/* Replaces the receiver of the library's log, for all that is open and will be; NULL for none. Any thread may call it at any time. Once it
 * returns, the previous receiver is not called any more. The library has one logger, which is never destroyed: TensorRT requires that it
 * outlives everything that was made with it. */
FLUKEWATCH_TRT_EXPORT void flukewatch_trt_set_log(flukewatch_trt_log log, void *user);

/* Opens CUDA, its GPU, TensorRT and the parser, in this order: without a driver TensorRT crashes instead of failing. */
FLUKEWATCH_TRT_EXPORT int32_t flukewatch_trt_open(const flukewatch_trt_where *where, flukewatch_trt **out, char *why, size_t why_bytes);
/* All plans must be unloaded before. */
FLUKEWATCH_TRT_EXPORT void flukewatch_trt_close(flukewatch_trt *trt);
FLUKEWATCH_TRT_EXPORT void flukewatch_trt_describe(const flukewatch_trt *trt, flukewatch_trt_about *out);

/* Builds a plan from the bytes of an ONNX file. Takes minutes on a small machine. */
FLUKEWATCH_TRT_EXPORT int32_t flukewatch_trt_build(flukewatch_trt *trt, const void *onnx, size_t count,
                                                   const flukewatch_trt_options *options, flukewatch_trt_keep keep,
                                                   flukewatch_trt_go_on go_on, void *user, char *why, size_t why_bytes);
/* Loads a plan. A plan holds native code: the caller must trust it. */
FLUKEWATCH_TRT_EXPORT int32_t flukewatch_trt_load(flukewatch_trt *trt, const void *bytes, size_t count,
                                                  flukewatch_trt_plan **out, char *why, size_t why_bytes);
FLUKEWATCH_TRT_EXPORT void flukewatch_trt_unload(flukewatch_trt_plan *plan);
FLUKEWATCH_TRT_EXPORT void flukewatch_trt_shape_of(const flukewatch_trt_plan *plan, flukewatch_trt_shape *out);

/* Runs one image: `input` of C*H*W numbers, `output` of D. Returns when the output is complete. */
FLUKEWATCH_TRT_EXPORT int32_t flukewatch_trt_run(flukewatch_trt_plan *plan, const float *input, size_t inputs, float *output,
                                                 size_t outputs, char *why, size_t why_bytes);

#ifdef __cplusplus
}
#endif

#endif
