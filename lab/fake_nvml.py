"""A ``libnvidia-ml.so.1`` for machines without a GPU, built by the C compiler, that fails where it is told to.

``build(folder)`` makes it; a process finds it with ``LD_LIBRARY_PATH=folder`` and reads ``folder/script`` at
every call: lines ``count N``, ``unload 1`` (the driver is taken away: who wants it must open it again),
``CALL CODE`` (that call fails with that code, on every GPU) and ``CALL@INDEX CODE``. Codes are NVML's own
(3 not supported, 15 GPU is lost, 18 driver mismatch).
"""

import subprocess
from pathlib import Path

SOURCE = r"""
#include <stdio.h>
#include <string.h>

static const char *script = "@SCRIPT@";

static int asked(const char *name, int otherwise) {
    char word[128];
    int value, found = otherwise;
    FILE *file = fopen(script, "r");
    if (!file) return otherwise;
    while (fscanf(file, "%127s %d", word, &value) == 2)
        if (!strcmp(word, name)) found = value;
    fclose(file);
    return found;
}

static int of(const char *name, unsigned long gpu) {
    char word[128];
    snprintf(word, sizeof word, "%s@%lu", name, gpu);
    return asked(word, asked(name, 0));
}

static int is_open;

int nvmlInitWithFlags(unsigned flags) { is_open = !asked("init", 0); return asked("init", 0); }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return code == 999 ? "Unknown Error" : "scripted"; }
int nvmlDeviceGetCount_v2(unsigned *count) {
    if (asked("unload", 0)) is_open = 0;
    *count = asked("count", 1);
    return is_open ? 0 : 1;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(unsigned long)(index + 1);
    return of("handle", index);
}
int nvmlDeviceGetName(void *device, char *name, unsigned length) {
    unsigned long gpu = (unsigned long)device - 1;
    snprintf(name, length, of("bad_name", gpu) ? "GPU \xff" : "Fake GPU %lu", gpu);
    return of("name", gpu);
}
int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *memory) {
    memory[0] = 80ull << 30; memory[1] = 60ull << 30; memory[2] = 20ull << 30;
    return of("memory", (unsigned long)device - 1);
}
int nvmlDeviceGetUtilizationRates(void *device, unsigned *rates) {
    rates[0] = 75; rates[1] = 10;
    return of("utilization", (unsigned long)device - 1);
}
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) {
    *celsius = 55;
    return of("temperature", (unsigned long)device - 1);
}
"""


def build(folder: Path) -> Path:
    """The library in ``folder``; gives the path of its script, which is empty."""
    script = folder / "script"
    script.write_text("")
    source = folder / "nvml.c"
    source.write_text(SOURCE.replace("@SCRIPT@", str(script)))
    subprocess.run(
        [
            "/usr/bin/env",
            "cc",
            "-shared",
            "-fPIC",
            "-o",
            str(folder / "libnvidia-ml.so.1"),
            str(source),
        ],
        check=True,
    )
    return script
