#!/usr/bin/env bash
# Builds, tests, checks and times everything that needs a GPU, in one run of less than nine minutes.
#
#   benchmarks/gpu_all.sh [OUT] [TOKENS.npy]
#
# Needs nvcc, and a python3 with torch (CUDA), numpy, scipy, click, pytest, hypothesis,
# scikit-build-core and pybind11. Results and logs go to OUT (default: benchmarks/results).
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-benchmarks/results}
text=${2:-}
commit=${NGRAMSTAT_COMMIT:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
mkdir -p "$out"
export NGRAMSTAT_REQUIRE_GPU=1 PYTHONUNBUFFERED=1
failed=0

step() {
    local name=$1 started=$SECONDS
    shift
    echo "--- $name"
    if "$@" >"$out/$name.log" 2>&1; then
        echo "$name: passed, $((SECONDS - started)) s"
    else
        echo "$name: FAILED, $((SECONDS - started)) s"
        tail -25 "$out/$name.log"
        failed=1
    fi
}

step build python3 -m pip install --no-build-isolation --no-deps . \
    -C build-dir=build/gpu -C cmake.define.NGRAMSTAT_CUDA=ON \
    -C cmake.define.CMAKE_CUDA_ARCHITECTURES=native
step tests timeout 240 python3 -m pytest -q -m gpu tests/test_gpu.py tests/test_lm_training.py
tail -3 "$out/tests.log"
step benchmark timeout 240 python3 benchmarks/gpu.py ${text:+--text "$text"} \
    --commit "$commit" -o "$out/gpu.json"
cat "$out/benchmark.log"
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
        step "$tool" timeout 150 compute-sanitizer --tool "$tool" --error-exitcode 9 \
            python3 benchmarks/gpu_check.py
        grep "ERROR SUMMARY\|RACECHECK SUMMARY" "$out/$tool.log"
    done
else
    echo "compute-sanitizer: not found; memory and races were not checked"
fi
exit $failed
