/* A fake shim without TensorRT, for tests: it implements flukewatch_trt.h, succeeds at everything, computes the models of the tests by
 * plain loops, and fails in a configured way. Its behaviour is fixed at compile time by the macros below. */
#define _GNU_SOURCE
#include "flukewatch_trt.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef FAKE_ABI
#define FAKE_ABI FLUKEWATCH_TRT_ABI
#endif
/* The major version of the shim's headers. */
#ifndef FAKE_MAJOR
#define FAKE_MAJOR 10
#endif
/* The build number of the library. */
#ifndef FAKE_LIBRARY_BUILD
#define FAKE_LIBRARY_BUILD 72
#endif
/* The status that open returns. */
#ifndef FAKE_OPEN
#define FAKE_OPEN FLUKEWATCH_TRT_OK
#endif
/* The status that build returns. */
#ifndef FAKE_BUILD
#define FAKE_BUILD FLUKEWATCH_TRT_OK
#endif
/* The status that load returns for a plan that this process has not built, and for one that it has. */
#ifndef FAKE_LOAD_KEPT
#define FAKE_LOAD_KEPT FLUKEWATCH_TRT_OK
#endif
#ifndef FAKE_LOAD_BUILT
#define FAKE_LOAD_BUILT FLUKEWATCH_TRT_OK
#endif
/* The number of images that succeed; later ones fail. */
#ifndef FAKE_RUNS
#define FAKE_RUNS 1000000000
#endif
/* Each output becomes this; `v` is the right value, `i` its index, `run` the number of earlier images. */
#ifndef FAKE_NUMBER
#define FAKE_NUMBER v
#endif
/* The same for the detector of the tests. */
#ifndef FAKE_DETECTOR_NUMBER
#define FAKE_DETECTOR_NUMBER FAKE_NUMBER
#endif
/* Input and output of every plan but the detector's. */
#ifndef FAKE_C
#define FAKE_C 1
#define FAKE_H 8
#define FAKE_W 16
#endif
#ifdef FAKE_TINY
#define FAKE_D 6
#else
#define FAKE_D (FAKE_C * FAKE_H * FAKE_W)
#endif
/* Input and output of the detector of the tests, in cells of 8 x 8 pixels. */
#define CELLS_H 4
#define CELLS_W 8
#define CELLS (CELLS_H * CELLS_W)
/* FAKE_GATE: a file that builds wait for. FAKE_BUILDS: a file that grows by a letter with each build, `d` for a detector. */

/* FAKE_LATE_LOG: once something was closed, a thread goes on logging until the process ends, as TensorRT's may. */

struct flukewatch_trt {
    int device;
};
struct flukewatch_trt_plan {
    int detector;
    long run;
};

/* Plans, which say what they are of. */
static const char model_plan[] = "fake plan of a model", detector_plan[] = "fake plan of a detector";

static int built;

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static flukewatch_trt_log sink;
static void *sink_user;

static void say(int32_t level, const char *line) {
    pthread_rwlock_rdlock(&lock);
    if (sink) sink(sink_user, level, line);
    pthread_rwlock_unlock(&lock);
}

#ifdef FAKE_LATE_LOG
static pthread_once_t late = PTHREAD_ONCE_INIT;
static void *log_on(void *nothing) {
    for (;;) {
        say(FLUKEWATCH_TRT_LOG_WARNING, "the fake still logs");
        usleep(200);
    }
    return nothing;
}
static void start_late_log(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, log_on, NULL) == 0) pthread_detach(thread);
}
#endif

static int32_t give(int32_t status, const char *reason, char *why, size_t why_bytes) {
    if (status != FLUKEWATCH_TRT_OK && why && why_bytes) snprintf(why, why_bytes, "%s", reason);
    return status;
}

uint32_t flukewatch_trt_abi(void) { return FAKE_ABI; }
int32_t flukewatch_trt_major(void) { return FAKE_MAJOR; }

void flukewatch_trt_set_log(flukewatch_trt_log log, void *user) {
    pthread_rwlock_wrlock(&lock);
    sink = log;
    sink_user = user;
    pthread_rwlock_unlock(&lock);
}

int32_t flukewatch_trt_open(const flukewatch_trt_where *where, flukewatch_trt **out, char *why, size_t why_bytes) {
    if (!where || where->device != 0 || where->cuda || where->infer || where->parser)
        return give(FLUKEWATCH_TRT_MISUSE, "invalid where", why, why_bytes);
    *out = NULL;
    if (FAKE_OPEN != FLUKEWATCH_TRT_OK) return give(FAKE_OPEN, "this fake is configured\nnot to open", why, why_bytes);
    flukewatch_trt *trt = malloc(sizeof *trt);
    trt->device = where->device;
    say(FLUKEWATCH_TRT_LOG_INFO, "the fake is open");
    *out = trt;
    return FLUKEWATCH_TRT_OK;
}

void flukewatch_trt_close(flukewatch_trt *trt) {
    free(trt);
    say(FLUKEWATCH_TRT_LOG_WARNING, "the fake is closed");
#ifdef FAKE_LATE_LOG
    pthread_once(&late, start_late_log);
#endif
}

void flukewatch_trt_describe(const flukewatch_trt *trt, flukewatch_trt_about *out) {
    (void)trt;
    memset(out, 0, sizeof *out);
    const int32_t library[] = {FAKE_MAJOR, 3, 0, FAKE_LIBRARY_BUILD}, headers[] = {FAKE_MAJOR, 16, 0, 72};
    memcpy(out->library, library, sizeof library);
    memcpy(out->headers, headers, sizeof headers);
    out->driver = 12060;
    out->compute_major = 8;
    out->compute_minor = 7;
    out->memory_bytes = 8000000000;
    strcpy(out->gpu, "Fake Orin");
}

int32_t flukewatch_trt_build(flukewatch_trt *trt, const void *onnx, size_t count, const flukewatch_trt_options *options,
                             flukewatch_trt_keep keep, flukewatch_trt_go_on go_on, void *user, char *why, size_t why_bytes) {
    (void)trt;
    /* The name of a tensor in the detector of the tests. */
    int detector = memmem(onnx, count, "maps", 4) != NULL;
    if (options->workspace_bytes == 0 || count == 0) return give(FLUKEWATCH_TRT_MISUSE, "invalid options", why, why_bytes);
#ifdef FAKE_BUILDS
    FILE *builds = fopen(FAKE_BUILDS, "a");
    fputc(detector ? 'd' : 'm', builds);
    fclose(builds);
#endif
#ifdef FAKE_GATE
    while (access(FAKE_GATE, F_OK) != 0) {
        if (!go_on(user)) return FLUKEWATCH_TRT_STOPPED;
        usleep(2000);
    }
#endif
    if (!go_on(user)) return FLUKEWATCH_TRT_STOPPED;
    if (FAKE_BUILD != FLUKEWATCH_TRT_OK) return give(FAKE_BUILD, "this fake is configured not to build", why, why_bytes);
    built = 1;
    const char *plan = detector ? detector_plan : model_plan;
    return keep(user, plan, strlen(plan)) ? FLUKEWATCH_TRT_MISUSE : FLUKEWATCH_TRT_OK;
}

int32_t flukewatch_trt_load(flukewatch_trt *trt, const void *bytes, size_t count, flukewatch_trt_plan **out, char *why, size_t why_bytes) {
    (void)trt;
    *out = NULL;
    int detector = count == strlen(detector_plan) && memcmp(bytes, detector_plan, count) == 0;
    int model = count == strlen(model_plan) && memcmp(bytes, model_plan, count) == 0;
    if (!detector && !model) return give(FLUKEWATCH_TRT_NOT_LOADED, "not a plan of the fake", why, why_bytes);
    int32_t status = built ? FAKE_LOAD_BUILT : FAKE_LOAD_KEPT;
    if (status != FLUKEWATCH_TRT_OK) return give(status, "this fake is configured not to load", why, why_bytes);
    *out = calloc(1, sizeof **out);
    (*out)->detector = detector;
    return FLUKEWATCH_TRT_OK;
}

void flukewatch_trt_unload(flukewatch_trt_plan *plan) { free(plan); }

void flukewatch_trt_shape_of(const flukewatch_trt_plan *plan, flukewatch_trt_shape *out) {
    const flukewatch_trt_shape of_model = {{1, FAKE_C, FAKE_H, FAKE_W}, FAKE_D};
    const flukewatch_trt_shape of_detector = {{1, 1, 8 * CELLS_H, 8 * CELLS_W}, 5 * CELLS};
    *out = plan->detector ? of_detector : of_model;
}

#ifdef FAKE_TINY
/* The models of `samples::onnx`: a convolution, ReLU6, the mean over the image and a matrix. */
static float weight(int i) { return (float)((i * 37 + 11) % 101) / 125.0f - 0.4f; }

static void compute(const float *input, float *output) {
    const float bias[4] = {0.1f, -0.1f, 0.2f, 0.0f};
    float pooled[4];
    for (int o = 0; o < 4; ++o) {
        double sum = 0;
        for (int y = 0; y < FAKE_H; ++y)
            for (int x = 0; x < FAKE_W; ++x) {
                float value = bias[o];
                for (int c = 0; c < FAKE_C; ++c)
                    for (int k = 0; k < 9; ++k) {
                        int yy = y + k / 3 - 1, xx = x + k % 3 - 1;
                        if (yy >= 0 && yy < FAKE_H && xx >= 0 && xx < FAKE_W)
                            value += input[(c * FAKE_H + yy) * FAKE_W + xx] * weight((o * FAKE_C + c) * 9 + k);
                    }
                sum += value < 0 ? 0 : value > 6 ? 6 : value;
            }
        pooled[o] = (float)(sum / (FAKE_H * FAKE_W));
    }
    for (int d = 0; d < FAKE_D; ++d) {
        output[d] = 0;
        for (int o = 0; o < 4; ++o) output[d] += weight(d * 4 + o) * pooled[o];
    }
}
#else
/* The model of the boat's tests: passes its input through. */
static void compute(const float *input, float *output) { memcpy(output, input, FAKE_D * sizeof *output); }
#endif

/* The detector of the tests with a gain of 20 and a bias of -10. */
static void detect(const float *input, float *output) {
    for (int cell = 0; cell < CELLS; ++cell) {
        const float *corner = input + cell / CELLS_W * 8 * 8 * CELLS_W + cell % CELLS_W * 8;
        float sum = 0;
        for (int y = 0; y < 8; ++y)
            for (int x = 0; x < 8; ++x) sum += corner[y * 8 * CELLS_W + x];
        output[cell] = 20.0f * sum / 64.0f - 10.0f;
        for (int map = 1; map < 5; ++map) output[map * CELLS + cell] = 0.6931472f;
    }
}

int32_t flukewatch_trt_run(flukewatch_trt_plan *plan, const float *input, size_t inputs, float *output, size_t outputs, char *why,
                           size_t why_bytes) {
    const size_t expected = plan->detector ? 64 * CELLS : FAKE_C * FAKE_H * FAKE_W;
    const size_t numbers = plan->detector ? 5 * CELLS : FAKE_D;
    if (inputs != expected || outputs != numbers) return give(FLUKEWATCH_TRT_MISUSE, "wrong size", why, why_bytes);
    long run = plan->run++;
    if (run >= FAKE_RUNS) return give(FLUKEWATCH_TRT_FAILED, "this fake is configured to fail", why, why_bytes);
    (plan->detector ? detect : compute)(input, output);
    for (int i = 0; i < (int)numbers; ++i) {
        float v = output[i];
        output[i] = plan->detector ? FAKE_DETECTOR_NUMBER : FAKE_NUMBER;
    }
    return FLUKEWATCH_TRT_OK;
}
