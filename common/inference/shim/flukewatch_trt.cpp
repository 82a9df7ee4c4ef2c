// The shim: TensorRT's C++ interface behind the plain C of flukewatch_trt.h. One source for TensorRT 8.5 and later, compiled once for
// each major version by `cargo xtask shim`.
//
// Nothing links to TensorRT or CUDA: both are opened at run time. Values of enums come from the headers, since they differ between major
// versions. Within a major version, TensorRT's classes only grow at their end, so headers and library may differ in the minor version.

#include "flukewatch_trt.h"

#include <NvInfer.h>
#include <NvOnnxParser.h>

#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <memory>
#include <mutex>
#include <new>
#include <shared_mutex>
#include <string>

#if NV_TENSORRT_MAJOR == 1
// TensorRT-RTX, whose version 1 has the interface of TensorRT 11. Only for tests on a desktop: no Jetson has it.
#define INTERFACE 11
#define INFER_FILE "libtensorrt_rtx.so.1"
#define PARSER_FILE "libtensorrt_onnxparser_rtx.so.1"
#else
#define INTERFACE NV_TENSORRT_MAJOR
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define INFER_FILE "libnvinfer.so." TEXT(NV_TENSORRT_MAJOR)
#define PARSER_FILE "libnvonnxparser.so." TEXT(NV_TENSORRT_MAJOR)
#endif

static_assert(INTERFACE > 8 || (INTERFACE == 8 && NV_TENSORRT_MINOR >= 5), "the shim needs the headers of TensorRT 8.5 or later");

// Builds can be cancelled since TensorRT 8.6.
#define CAN_STOP (INTERFACE > 8 || NV_TENSORRT_MINOR >= 6)

namespace {

using nvinfer1::Dims;

// The part of libcuda that is needed; its names and types are stable. A handle is a pointer, GPU memory a number.
struct Cuda {
    using Device = int;
    using Memory = unsigned long long;
    int (*init)(unsigned) = nullptr;
    int (*driver_version)(int *) = nullptr;
    int (*device_count)(int *) = nullptr;
    int (*device)(Device *, int) = nullptr;
    int (*device_name)(char *, int, Device) = nullptr;
    int (*device_attribute)(int *, int, Device) = nullptr;
    int (*device_memory)(size_t *, Device) = nullptr;
    int (*retain)(void **, Device) = nullptr;
    int (*release)(Device) = nullptr;
    int (*make_current)(void *) = nullptr;
    int (*allocate)(Memory *, size_t) = nullptr;
    int (*free)(Memory) = nullptr;
    int (*to_gpu)(Memory, const void *, size_t, void *) = nullptr;
    int (*from_gpu)(void *, Memory, size_t, void *) = nullptr;
    int (*stream)(void **, unsigned) = nullptr;
    int (*end_stream)(void *) = nullptr;
    int (*finish)(void *) = nullptr;
    int (*error_name)(int, const char **) = nullptr;

    // Returns the name of the first missing function.
    const char *find(void *library) {
        const char *missing = nullptr;
        auto get = [&](auto &function, const char *name) {
            void *found = dlsym(library, name);
            if (!found && !missing) missing = name;
            std::memcpy(&function, &found, sizeof found);
        };
        get(init, "cuInit");
        get(driver_version, "cuDriverGetVersion");
        get(device_count, "cuDeviceGetCount");
        get(device, "cuDeviceGet");
        get(device_name, "cuDeviceGetName");
        get(device_attribute, "cuDeviceGetAttribute");
        get(device_memory, "cuDeviceTotalMem_v2");
        get(retain, "cuDevicePrimaryCtxRetain");
        get(release, "cuDevicePrimaryCtxRelease_v2");
        get(make_current, "cuCtxSetCurrent");
        get(allocate, "cuMemAlloc_v2");
        get(free, "cuMemFree_v2");
        get(to_gpu, "cuMemcpyHtoDAsync_v2");
        get(from_gpu, "cuMemcpyDtoHAsync_v2");
        get(stream, "cuStreamCreate");
        get(end_stream, "cuStreamDestroy_v2");
        get(finish, "cuStreamSynchronize");
        get(error_name, "cuGetErrorName");
        return missing;
    }

    std::string name_of(int error) const {
        const char *name = nullptr;
        if (error_name && error_name(error, &name) == 0 && name) return name;
        return "CUDA error " + std::to_string(error);
    }
};

// CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR, CU_STREAM_NON_BLOCKING.
constexpr int COMPUTE_MAJOR = 75, COMPUTE_MINOR = 76;
constexpr unsigned NON_BLOCKING = 1;

// A library stays open: CUDA and TensorRT have threads and exit handlers that outlive every handle.
struct Library {
    void *handle = nullptr;
    bool open(const char *asked, const char *usual, std::string &why) {
        handle = dlopen(asked ? asked : usual, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (handle) return true;
        const char *said = dlerror();
        why = said ? said : "it cannot be opened";
        return false;
    }
    template <class Function>
    Function get(const char *name) const {
        Function function = nullptr;
        void *found = dlsym(handle, name);
        std::memcpy(&function, &found, sizeof found);
        return function;
    }
};

// The last error that TensorRT logged on this thread, since it gives its reasons only in the log. It logs the errors of a call on the
// caller's thread. Of each thread, because several sessions work at the same time.
thread_local char last_error[512] = "";

void forget_error() { last_error[0] = 0; }

std::string logged_reason(const char *otherwise) { return last_error[0] ? last_error : otherwise; }

// Passes TensorRT's log to the receiver that is set now. The lock is held during the call, so that a receiver that was replaced is not
// called any more.
class Log final : public nvinfer1::ILogger {
    std::shared_mutex lock;
    flukewatch_trt_log sink = nullptr;
    void *user = nullptr;

  public:
    void send_to(flukewatch_trt_log new_sink, void *new_user) {
        std::unique_lock<std::shared_mutex> alone(lock);
        sink = new_sink;
        user = new_user;
    }

    void log(Severity severity, const char *line) noexcept override {
        int32_t level = FLUKEWATCH_TRT_LOG_INFO;
        if (severity == Severity::kINTERNAL_ERROR || severity == Severity::kERROR) {
            level = FLUKEWATCH_TRT_LOG_ERROR;
            std::snprintf(last_error, sizeof last_error, "%s", line);
        } else if (severity == Severity::kWARNING) {
            level = FLUKEWATCH_TRT_LOG_WARNING;
        } else if (severity != Severity::kINFO) {
            return;
        }
        std::shared_lock<std::shared_mutex> shared(lock);
        if (sink) sink(user, level, line);
    }
};

// The library's only logger. TensorRT keeps the pointer in everything that it makes, and globally for the process, and may log from its
// threads and exit handlers until the end: it is never destroyed.
Log &logger() {
    static Log &only = *new Log;
    return only;
}

int32_t fail(int32_t status, const std::string &reason, char *why, size_t why_bytes) {
    if (why && why_bytes) std::snprintf(why, why_bytes, "%s", reason.c_str());
    return status;
}

// Reports the exception being handled; called in every catch block, since no exception may reach Rust.
int32_t thrown(char *why, size_t why_bytes) try {
    throw;
} catch (const std::exception &e) {
    return fail(FLUKEWATCH_TRT_FAILED, e.what(), why, why_bytes);
} catch (...) {
    return fail(FLUKEWATCH_TRT_FAILED, "unknown exception", why, why_bytes);
}

#if CAN_STOP
struct Monitor final : nvinfer1::IProgressMonitor {
    flukewatch_trt_go_on go_on = nullptr;
    void *user = nullptr;
    void phaseStart(const char *, const char *, int32_t) noexcept override {}
    bool stepComplete(const char *, int32_t) noexcept override { return !go_on || go_on(user) != 0; }
    void phaseFinish(const char *) noexcept override {}
};
#endif

std::string shown(const Dims &dims) {
    std::string text = "[";
    for (int i = 0; i < dims.nbDims; ++i) text += (i ? ", " : "") + std::to_string(static_cast<long long>(dims.d[i]));
    return text + "]";
}

} // namespace

struct flukewatch_trt {
    Library cuda_library, infer, parser;
    Cuda cuda;
    Cuda::Device device = 0;
    void *context = nullptr;
    int32_t version = 0;
    flukewatch_trt_about about{};
    void *(*make_builder)(void *, int32_t) = nullptr;
    void *(*make_runtime)(void *, int32_t) = nullptr;
    void *(*make_parser)(void *, void *, int) = nullptr;
    int32_t parser_version = 0;

    ~flukewatch_trt() {
        if (context) cuda.release(device);
    }
};

struct flukewatch_trt_plan {
    flukewatch_trt *trt = nullptr;
    // Destroyed in the opposite order.
    std::unique_ptr<nvinfer1::IRuntime> runtime;
    std::unique_ptr<nvinfer1::ICudaEngine> engine;
    std::unique_ptr<nvinfer1::IExecutionContext> context;
    flukewatch_trt_shape shape{};
    size_t inputs = 0, outputs = 0;
    Cuda::Memory input = 0, output = 0;
    void *stream = nullptr;

    ~flukewatch_trt_plan() {
        const Cuda &cuda = trt->cuda;
        cuda.make_current(trt->context);
        context.reset();
        engine.reset();
        runtime.reset();
        if (stream) cuda.end_stream(stream);
        if (input) cuda.free(input);
        if (output) cuda.free(output);
    }
};

namespace {

int32_t open_cuda(flukewatch_trt &trt, const flukewatch_trt_where &where, std::string &reason) {
    std::string said;
    if (!trt.cuda_library.open(where.cuda, "libcuda.so.1", said)) {
        reason = "no NVIDIA driver: " + said;
        return FLUKEWATCH_TRT_NO_DRIVER;
    }
    Cuda &cuda = trt.cuda;
    if (const char *missing = cuda.find(trt.cuda_library.handle)) {
        reason = std::string("the NVIDIA driver lacks ") + missing;
        return FLUKEWATCH_TRT_NO_DRIVER;
    }
    if (int error = cuda.init(0)) {
        reason = "the NVIDIA driver does not start: " + cuda.name_of(error);
        // CUDA_ERROR_NO_DEVICE
        return error == 100 ? FLUKEWATCH_TRT_NO_DEVICE : FLUKEWATCH_TRT_NO_DRIVER;
    }
    int count = 0;
    if (int error = cuda.device_count(&count)) {
        reason = "the driver cannot count the GPUs: " + cuda.name_of(error);
        return FLUKEWATCH_TRT_NO_DEVICE;
    }
    if (where.device < 0 || where.device >= count) {
        reason = count == 0 ? "there is no GPU" : "there is no GPU " + std::to_string(where.device) + ", only " + std::to_string(count);
        return FLUKEWATCH_TRT_NO_DEVICE;
    }
    size_t memory = 0;
    flukewatch_trt_about &about = trt.about;
    int error = cuda.device(&trt.device, where.device);
    if (!error) error = cuda.driver_version(&about.driver);
    if (!error) error = cuda.device_name(about.gpu, sizeof about.gpu - 1, trt.device);
    if (!error) error = cuda.device_attribute(&about.compute_major, COMPUTE_MAJOR, trt.device);
    if (!error) error = cuda.device_attribute(&about.compute_minor, COMPUTE_MINOR, trt.device);
    if (!error) error = cuda.device_memory(&memory, trt.device);
    // TensorRT uses the primary context, which the CUDA runtime shares.
    if (!error) error = cuda.retain(&trt.context, trt.device);
    if (!error) error = cuda.make_current(trt.context);
    if (error) {
        reason = "the GPU cannot be used: " + cuda.name_of(error);
        return FLUKEWATCH_TRT_NO_DEVICE;
    }
    about.memory_bytes = memory;
    return FLUKEWATCH_TRT_OK;
}

// The version as major, minor, patch: 8502 is 8.5.2, 101600 is 10.16.0.
void split(int32_t version, int32_t *out) {
    int32_t unit = version >= 10000 ? 10000 : 1000;
    out[0] = version / unit;
    out[1] = version % unit / 100;
    out[2] = version % 100;
}

int32_t open_tensorrt(flukewatch_trt &trt, const flukewatch_trt_where &where, std::string &reason) {
    std::string said;
    if (!trt.infer.open(where.infer, INFER_FILE, said)) {
        reason = "TensorRT is not installed: " + said;
        return FLUKEWATCH_TRT_NO_LIBRARY;
    }
    auto version = trt.infer.get<int32_t (*)()>("getInferLibVersion");
    if (!version) {
        reason = "the TensorRT library has no getInferLibVersion";
        return FLUKEWATCH_TRT_NO_LIBRARY;
    }
    trt.version = version();
    flukewatch_trt_about &about = trt.about;
    split(trt.version, about.library);
    // Since TensorRT 10 the library gives more than that one number.
    const char *parts[] = {"getInferLibMajorVersion", "getInferLibMinorVersion", "getInferLibPatchVersion", "getInferLibBuildVersion"};
    about.library[3] = -1;
    for (int i = 0; i < 4; ++i)
        if (auto part = trt.infer.get<int32_t (*)()>(parts[i])) about.library[i] = part();
    const int32_t headers[] = {NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR, NV_TENSORRT_PATCH, NV_TENSORRT_BUILD};
    std::memcpy(about.headers, headers, sizeof headers);
    if (about.library[0] != NV_TENSORRT_MAJOR) {
        reason = "the library is TensorRT " + std::to_string(about.library[0]) + ", this shim is for TensorRT " +
                 std::to_string(NV_TENSORRT_MAJOR);
        return FLUKEWATCH_TRT_OTHER_MAJOR;
    }
    if (!trt.parser.open(where.parser, PARSER_FILE, said)) {
        reason = "TensorRT's ONNX parser is not installed: " + said;
        return FLUKEWATCH_TRT_NO_LIBRARY;
    }
    trt.make_builder = trt.infer.get<decltype(trt.make_builder)>("createInferBuilder_INTERNAL");
    trt.make_runtime = trt.infer.get<decltype(trt.make_runtime)>("createInferRuntime_INTERNAL");
    trt.make_parser = trt.parser.get<decltype(trt.make_parser)>("createNvOnnxParser_INTERNAL");
    auto parser_version = trt.parser.get<int (*)()>("getNvOnnxParserVersion");
    if (!trt.make_builder || !trt.make_runtime || !trt.make_parser || !parser_version) {
        reason = "TensorRT lacks the functions that create a builder, a runtime or a parser";
        return FLUKEWATCH_TRT_NO_LIBRARY;
    }
    trt.parser_version = parser_version();
    return FLUKEWATCH_TRT_OK;
}

int32_t build(flukewatch_trt &trt, const void *onnx, size_t count, const flukewatch_trt_options &options, flukewatch_trt_keep keep,
              flukewatch_trt_go_on go_on, void *user, std::string &reason) {
    using namespace nvinfer1;
    forget_error();
    auto gave_up = [&](int32_t status, const char *otherwise) {
        reason = logged_reason(otherwise);
        return status;
    };
    if (int error = trt.cuda.make_current(trt.context)) {
        reason = "the GPU cannot be used: " + trt.cuda.name_of(error);
        return FLUKEWATCH_TRT_FAILED;
    }
    // Pass the library's own version: it checks the version that the caller was compiled with, and within a major version all are
    // compatible.
    std::unique_ptr<IBuilder> builder(static_cast<IBuilder *>(trt.make_builder(&logger(), trt.version)));
    if (!builder) return gave_up(FLUKEWATCH_TRT_NOT_BUILT, "TensorRT cannot create a builder");
    uint32_t flags = 0;
#if INTERFACE < 10
    flags |= 1U << static_cast<uint32_t>(NetworkDefinitionCreationFlag::kEXPLICIT_BATCH);
#endif
    std::unique_ptr<INetworkDefinition> network(builder->createNetworkV2(flags));
    if (!network) return gave_up(FLUKEWATCH_TRT_NOT_BUILT, "TensorRT cannot create a network");
    std::unique_ptr<nvonnxparser::IParser> parser(
        static_cast<nvonnxparser::IParser *>(trt.make_parser(network.get(), &logger(), trt.parser_version)));
    if (!parser) return gave_up(FLUKEWATCH_TRT_NOT_BUILT, "TensorRT cannot create a parser");
    if (!parser->parse(onnx, count)) {
        reason = logged_reason("TensorRT gives no reason");
        if (parser->getNbErrors() > 0) {
            auto error = parser->getError(0);
            reason = "node " + std::to_string(error->node()) + ": " + (error->desc() ? error->desc() : "");
        }
        return FLUKEWATCH_TRT_NOT_PARSED;
    }
    if (go_on && !go_on(user)) return FLUKEWATCH_TRT_STOPPED;
    std::unique_ptr<IBuilderConfig> config(builder->createBuilderConfig());
    if (!config) return gave_up(FLUKEWATCH_TRT_NOT_BUILT, "TensorRT cannot create a builder configuration");
    if (options.workspace_bytes) config->setMemoryPoolLimit(MemoryPoolType::kWORKSPACE, options.workspace_bytes);
#if INTERFACE < 11
    if (options.int8) config->setFlag(BuilderFlag::kINT8);
    if (options.fp16) config->setFlag(BuilderFlag::kFP16);
#endif
#if CAN_STOP
    Monitor monitor;
    monitor.go_on = go_on;
    monitor.user = user;
    config->setProgressMonitor(&monitor);
#endif
    std::unique_ptr<IHostMemory> plan(builder->buildSerializedNetwork(*network, *config));
    if (go_on && !go_on(user)) return FLUKEWATCH_TRT_STOPPED;
    if (!plan || !plan->size()) return gave_up(FLUKEWATCH_TRT_NOT_BUILT, "TensorRT gives no reason");
    if (keep(user, plan->data(), plan->size()) != 0) {
        reason = "the plan could not be stored";
        return FLUKEWATCH_TRT_MISUSE;
    }
    return FLUKEWATCH_TRT_OK;
}

int32_t bind(flukewatch_trt_plan &plan, std::string &reason) {
    using namespace nvinfer1;
    ICudaEngine &engine = *plan.engine;
    auto unfit = [&](const std::string &what) {
        reason = what;
        return FLUKEWATCH_TRT_UNFIT;
    };
    const char *input = nullptr, *output = nullptr;
    for (int32_t i = 0; i < engine.getNbIOTensors(); ++i) {
        const char *name = engine.getIOTensorName(i);
        if (!name) return unfit("a tensor of the plan has no name");
        bool is_input = engine.getTensorIOMode(name) == TensorIOMode::kINPUT;
        const char *&slot = is_input ? input : output;
        if (slot) return unfit(std::string("the plan has two ") + (is_input ? "inputs" : "outputs"));
        slot = name;
        if (engine.getTensorDataType(name) != DataType::kFLOAT) return unfit(std::string("'") + name + "' of the plan is not f32");
    }
    if (!input || !output) return unfit("the plan has no input or no output");
    Dims in = engine.getTensorShape(input), out = engine.getTensorShape(output);
    auto fixed = [](const Dims &dims) {
        for (int i = 0; i < dims.nbDims; ++i)
            if (dims.d[i] < 1 || dims.d[i] > 1 << 20) return false;
        return dims.d[0] == 1;
    };
    if (in.nbDims != 4 || out.nbDims != 2 || !fixed(in) || !fixed(out))
        return unfit("the plan goes from " + shown(in) + " to " + shown(out) + ", not from [1, C, H, W] to [1, D]");
    plan.inputs = plan.outputs = 1;
    for (int i = 0; i < 4; ++i) {
        plan.shape.input[i] = in.d[i];
        plan.inputs *= static_cast<size_t>(in.d[i]);
        if (plan.inputs > size_t{1} << 28) return unfit("the plan takes images of " + shown(in));
    }
    plan.shape.dimension = out.d[1];
    plan.outputs = static_cast<size_t>(out.d[1]);

    const Cuda &cuda = plan.trt->cuda;
    int error = cuda.stream(&plan.stream, NON_BLOCKING);
    if (!error) error = cuda.allocate(&plan.input, plan.inputs * sizeof(float));
    if (!error) error = cuda.allocate(&plan.output, plan.outputs * sizeof(float));
    if (error) {
        reason = "GPU memory cannot be allocated: " + cuda.name_of(error);
        return FLUKEWATCH_TRT_FAILED;
    }
    auto address = [](Cuda::Memory memory) { return reinterpret_cast<void *>(static_cast<uintptr_t>(memory)); };
    if (!plan.context->setInputShape(input, in) || !plan.context->setTensorAddress(input, address(plan.input)) ||
        !plan.context->setTensorAddress(output, address(plan.output)))
        return unfit(logged_reason("TensorRT rejects the addresses of input and output"));
    return FLUKEWATCH_TRT_OK;
}

} // namespace

extern "C" {

uint32_t flukewatch_trt_abi(void) { return FLUKEWATCH_TRT_ABI; }

int32_t flukewatch_trt_major(void) { return NV_TENSORRT_MAJOR; }

void flukewatch_trt_set_log(flukewatch_trt_log log, void *user) { logger().send_to(log, user); }

int32_t flukewatch_trt_open(const flukewatch_trt_where *where, flukewatch_trt **out, char *why, size_t why_bytes) try {
    if (!where || !out) return fail(FLUKEWATCH_TRT_MISUSE, "open: a required argument is NULL", why, why_bytes);
    *out = nullptr;
    auto trt = std::make_unique<flukewatch_trt>();
    std::string reason;
    int32_t status = open_cuda(*trt, *where, reason);
    if (status == FLUKEWATCH_TRT_OK) status = open_tensorrt(*trt, *where, reason);
    if (status != FLUKEWATCH_TRT_OK) return fail(status, reason, why, why_bytes);
    *out = trt.release();
    return FLUKEWATCH_TRT_OK;
} catch (...) {
    return thrown(why, why_bytes);
}

void flukewatch_trt_close(flukewatch_trt *trt) { delete trt; }

void flukewatch_trt_describe(const flukewatch_trt *trt, flukewatch_trt_about *out) {
    if (trt && out) *out = trt->about;
}

int32_t flukewatch_trt_build(flukewatch_trt *trt, const void *onnx, size_t count, const flukewatch_trt_options *options,
                             flukewatch_trt_keep keep, flukewatch_trt_go_on go_on, void *user, char *why, size_t why_bytes) try {
    if (!trt || !onnx || !options || !keep) return fail(FLUKEWATCH_TRT_MISUSE, "build: a required argument is NULL", why, why_bytes);
    std::string reason;
    int32_t status = build(*trt, onnx, count, *options, keep, go_on, user, reason);
    return status == FLUKEWATCH_TRT_OK ? status : fail(status, reason, why, why_bytes);
} catch (...) {
    return thrown(why, why_bytes);
}

int32_t flukewatch_trt_load(flukewatch_trt *trt, const void *bytes, size_t count, flukewatch_trt_plan **out, char *why,
                            size_t why_bytes) try {
    if (!trt || !bytes || !out) return fail(FLUKEWATCH_TRT_MISUSE, "load: a required argument is NULL", why, why_bytes);
    *out = nullptr;
    forget_error();
    if (int error = trt->cuda.make_current(trt->context))
        return fail(FLUKEWATCH_TRT_FAILED, "the GPU cannot be used: " + trt->cuda.name_of(error), why, why_bytes);
    auto plan = std::make_unique<flukewatch_trt_plan>();
    plan->trt = trt;
    plan->runtime.reset(static_cast<nvinfer1::IRuntime *>(trt->make_runtime(&logger(), trt->version)));
    if (!plan->runtime) return fail(FLUKEWATCH_TRT_FAILED, logged_reason("TensorRT cannot create a runtime"), why, why_bytes);
    plan->engine.reset(plan->runtime->deserializeCudaEngine(bytes, count));
    if (!plan->engine) return fail(FLUKEWATCH_TRT_NOT_LOADED, logged_reason("TensorRT gives no reason"), why, why_bytes);
    plan->context.reset(plan->engine->createExecutionContext());
    if (!plan->context) return fail(FLUKEWATCH_TRT_NOT_LOADED, logged_reason("TensorRT gives no reason"), why, why_bytes);
    std::string reason;
    int32_t status = bind(*plan, reason);
    if (status != FLUKEWATCH_TRT_OK) return fail(status, reason, why, why_bytes);
    *out = plan.release();
    return FLUKEWATCH_TRT_OK;
} catch (...) {
    return thrown(why, why_bytes);
}

void flukewatch_trt_unload(flukewatch_trt_plan *plan) { delete plan; }

void flukewatch_trt_shape_of(const flukewatch_trt_plan *plan, flukewatch_trt_shape *out) {
    if (plan && out) *out = plan->shape;
}

// Running an image allocates nothing, except the reason of a failure.
int32_t flukewatch_trt_run(flukewatch_trt_plan *plan, const float *input, size_t inputs, float *output, size_t outputs, char *why,
                           size_t why_bytes) try {
    if (!plan || !input || !output || inputs != plan->inputs || outputs != plan->outputs)
        return fail(FLUKEWATCH_TRT_MISUSE, "the image or output has the wrong size", why, why_bytes);
    flukewatch_trt &trt = *plan->trt;
    const Cuda &cuda = trt.cuda;
    forget_error();
    // The engine may have moved between threads, and a context is current in one thread.
    int error = cuda.make_current(trt.context);
    if (!error) error = cuda.to_gpu(plan->input, input, inputs * sizeof(float), plan->stream);
    if (error) return fail(FLUKEWATCH_TRT_FAILED, "the image cannot be copied to the GPU: " + cuda.name_of(error), why, why_bytes);
    if (!plan->context->enqueueV3(reinterpret_cast<cudaStream_t>(plan->stream))) {
        // The copy may still be reading `input`.
        cuda.finish(plan->stream);
        return fail(FLUKEWATCH_TRT_FAILED, logged_reason("TensorRT gives no reason"), why, why_bytes);
    }
    error = cuda.from_gpu(output, plan->output, outputs * sizeof(float), plan->stream);
    int finished = cuda.finish(plan->stream);
    if (!error) error = finished;
    if (error) return fail(FLUKEWATCH_TRT_FAILED, "the GPU failed on the image: " + cuda.name_of(error), why, why_bytes);
    return FLUKEWATCH_TRT_OK;
} catch (...) {
    return thrown(why, why_bytes);
}

} // extern "C"
