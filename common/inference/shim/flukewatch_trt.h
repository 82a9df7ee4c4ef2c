/* What Flukewatch and its shim for TensorRT agree on: plain C, nothing of TensorRT or CUDA in it.
 *
 * The shim is compiled once for each major version of TensorRT, whose C++ interface differs from major to major. It opens TensorRT and
 * CUDA itself, at run time: nothing links to them. `common/inference/src/engine/tensorrt/abi.rs` is this file in Rust; whoever changes one changes
 * the other and raises FLUKEWATCH_TRT_ABI.
 *
 * Every function that can fail returns a status, and writes a line for people into `why`, cut to `why_bytes` and always ended by a
 * zero byte. No function throws. A handle belongs to one caller at a time; it may wander between threads.
 */
#ifndef FLUKEWATCH_TRT_H
#define FLUKEWATCH_TRT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FLUKEWATCH_TRT_ABI 1

#if defined(__GNUC__)
#define FLUKEWATCH_TRT_EXPORT __attribute__((visibility("default")))
#else
#define FLUKEWATCH_TRT_EXPORT
#endif

enum {
    FLUKEWATCH_TRT_OK = 0,
    /* libcuda.so.1 is not there, or does not start: no driver of NVIDIA's. */
    FLUKEWATCH_TRT_NO_DRIVER = 1,
    /* A driver, but no GPU that it may use. */
    FLUKEWATCH_TRT_NO_DEVICE = 2,
    /* libnvinfer or the ONNX parser of this major is not installed. */
    FLUKEWATCH_TRT_NO_LIBRARY = 3,
    /* What was opened is of another major version than the headers that the shim was compiled with. */
    FLUKEWATCH_TRT_OTHER_MAJOR = 4,
    /* TensorRT does not read the ONNX file. */
    FLUKEWATCH_TRT_NOT_PARSED = 5,
    /* TensorRT read the model and built no plan from it. */
    FLUKEWATCH_TRT_NOT_BUILT = 6,
    /* The caller asked to stop. */
    FLUKEWATCH_TRT_STOPPED = 7,
    /* TensorRT does not take the plan: made by another version, for another GPU, or damaged. */
    FLUKEWATCH_TRT_NOT_LOADED = 8,
    /* The plan is not from one image to one embedding. */
    FLUKEWATCH_TRT_UNFIT = 9,
    /* The GPU failed on an image, or while memory was asked of it. */
    FLUKEWATCH_TRT_FAILED = 10,
    /* The caller broke this contract. */
    FLUKEWATCH_TRT_MISUSE = 11
};

/* How loud a line of TensorRT's own log is. */
enum { FLUKEWATCH_TRT_LOG_ERROR = 0, FLUKEWATCH_TRT_LOG_WARNING = 1, FLUKEWATCH_TRT_LOG_INFO = 2 };

/* TensorRT with a GPU. */
typedef struct flukewatch_trt flukewatch_trt;
/* A plan on that GPU. */
typedef struct flukewatch_trt_plan flukewatch_trt_plan;

/* A line of TensorRT's log; may be called from any thread until `close` returns. */
typedef void (*flukewatch_trt_log)(void *user, int32_t level, const char *line);
/* Takes the whole plan in one call; gives 0 where it was kept. */
typedef int32_t (*flukewatch_trt_keep)(void *user, const void *bytes, size_t count);
/* Asked again and again while a plan is built, from any thread; 0 ends the build. TensorRT 8.5 does not ask. */
typedef int32_t (*flukewatch_trt_go_on)(void *user);

typedef struct {
    /* Files to open instead of what the system's loader finds by name; NULL for that. */
    const char *cuda;
    const char *infer;
    const char *parser;
    /* Which GPU, from 0. */
    int32_t device;
    int32_t reserved;
} flukewatch_trt_where;

typedef struct {
    /* Version of TensorRT's library: major, minor, patch, build; -1 for what it does not say. */
    int32_t library[4];
    /* The same of the headers that the shim was compiled with. */
    int32_t headers[4];
    /* As the driver says it: 12060 is CUDA 12.6. */
    int32_t driver;
    /* Compute capability. */
    int32_t compute_major;
    int32_t compute_minor;
    int32_t reserved;
    uint64_t memory_bytes;
    /* Ended by a zero byte. */
    char gpu[128];
} flukewatch_trt_about;

typedef struct {
    /* What TensorRT may use to try out layers. */
    uint64_t workspace_bytes;
    /* The model holds QuantizeLinear and DequantizeLinear. */
    int32_t int8;
    /* Layers that are not int8 may run in 16 bits. Without meaning from TensorRT 11 on, which runs what the file says. */
    int32_t fp16;
} flukewatch_trt_options;

typedef struct {
    /* [1, C, H, W] */
    int64_t input[4];
    /* D of the output [1, D] */
    int64_t dimension;
} flukewatch_trt_shape;

/* FLUKEWATCH_TRT_ABI of the shim; every shim of any age has this function. */
FLUKEWATCH_TRT_EXPORT uint32_t flukewatch_trt_abi(void);
/* Major version of the headers that it was compiled with. */
FLUKEWATCH_TRT_EXPORT int32_t flukewatch_trt_major(void);

/* Opens CUDA, its GPU, TensorRT and the parser, in this order: without a driver TensorRT crashes instead of failing. */
FLUKEWATCH_TRT_EXPORT int32_t flukewatch_trt_open(const flukewatch_trt_where *where, flukewatch_trt_log log, void *user,
                                                  flukewatch_trt **out, char *why, size_t why_bytes);
/* Plans must be unloaded before. */
FLUKEWATCH_TRT_EXPORT void flukewatch_trt_close(flukewatch_trt *trt);
FLUKEWATCH_TRT_EXPORT void flukewatch_trt_describe(const flukewatch_trt *trt, flukewatch_trt_about *out);

/* Builds a plan from the bytes of an ONNX file. Takes minutes on a small machine. */
FLUKEWATCH_TRT_EXPORT int32_t flukewatch_trt_build(flukewatch_trt *trt, const void *onnx, size_t count,
                                                   const flukewatch_trt_options *options, flukewatch_trt_keep keep,
                                                   flukewatch_trt_go_on go_on, void *user, char *why, size_t why_bytes);
/* Loads a plan. A plan holds native code: whoever calls this vouches for it. */
FLUKEWATCH_TRT_EXPORT int32_t flukewatch_trt_load(flukewatch_trt *trt, const void *bytes, size_t count,
                                                  flukewatch_trt_plan **out, char *why, size_t why_bytes);
FLUKEWATCH_TRT_EXPORT void flukewatch_trt_unload(flukewatch_trt_plan *plan);
FLUKEWATCH_TRT_EXPORT void flukewatch_trt_shape_of(const flukewatch_trt_plan *plan, flukewatch_trt_shape *out);

/* Runs one image: `input` of C*H*W numbers, `output` of D. Returns when the output is there. */
FLUKEWATCH_TRT_EXPORT int32_t flukewatch_trt_run(flukewatch_trt_plan *plan, const float *input, size_t inputs, float *output,
                                                 size_t outputs, char *why, size_t why_bytes);

#ifdef __cplusplus
}
#endif

#endif
