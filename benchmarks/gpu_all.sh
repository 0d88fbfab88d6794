#!/usr/bin/env bash
# Builds, tests, checks and times everything that needs a GPU, in one run of at most ten minutes: a
# step that would take longer is stopped and reported, and so is one for which no time is left. On
# request it also trains models of the paper's size, after that.
#
#   benchmarks/gpu_all.sh [OUT] [TOKENS.npy]
#
# With NGRAMSTAT_TRAIN_CORPUS=CORPUS (a tokenized Wikipedia of 7e7 tokens or more) it then trains the
# paper's GPT-2 of 98 M parameters on 2^20, 2^21, ... 2^26 tokens, T = 128 and 512, the smallest sets
# first, for NGRAMSTAT_TRAIN_BUDGET (10m), and goes on where an earlier call in the same
# NGRAMSTAT_TRAIN_WORK (default: OUT/training) ended. NGRAMSTAT_TRAIN_MEASURED is a finished `measure
# --protocol paper` of the corpus; without it the corpus is measured first.
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
deadline=590

# step NAME SECONDS COMMAND...: at most that long, and not beyond the deadline.
step() {
    local name=$1 most=$2 started=$SECONDS
    shift 2
    [ $((deadline - SECONDS)) -lt "$most" ] && most=$((deadline - SECONDS))
    echo "--- $name"
    if [ "$most" -lt 5 ]; then
        echo "$name: NOT RUN, no time is left"
        failed=1
    elif timeout "$most" "$@" >"$out/$name.log" 2>&1; then
        echo "$name: passed, $((SECONDS - started)) s"
    else
        echo "$name: FAILED, $((SECONDS - started)) s"
        tail -25 "$out/$name.log"
        failed=1
    fi
}

step build 240 python3 -m pip install --no-build-isolation --no-deps . \
    -C build-dir=build/gpu -C cmake.define.NGRAMSTAT_CUDA=ON \
    -C cmake.define.CMAKE_CUDA_ARCHITECTURES=native
step tests 180 python3 -m pytest -q -m gpu tests/test_gpu.py tests/test_gpu_pair_sums.py \
    tests/test_gpu_kneser_ney.py tests/test_lm_training.py
tail -3 "$out/tests.log"
step benchmark 200 python3 benchmarks/gpu.py ${text:+--text "$text"} \
    --commit "$commit" -o "$out/gpu.json"
cat "$out/benchmark.log"
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
        step "$tool" 100 compute-sanitizer --tool "$tool" --error-exitcode 9 \
            python3 benchmarks/gpu_check.py
        grep "ERROR SUMMARY\|RACECHECK SUMMARY" "$out/$tool.log"
    done
else
    echo "compute-sanitizer: not found; memory and races were not checked"
fi
if [ -n "${NGRAMSTAT_TRAIN_CORPUS:-}" ]; then
    deadline=1000000
    step training 100000 python3 benchmarks/validation/run.py "$NGRAMSTAT_TRAIN_CORPUS" --gpu \
        --work "${NGRAMSTAT_TRAIN_WORK:-$out/training}" \
        ${NGRAMSTAT_TRAIN_MEASURED:+--measured "$NGRAMSTAT_TRAIN_MEASURED"} \
        --text-budget "${NGRAMSTAT_TRAIN_BUDGET:-10m}"
    cat "$out/training.log"
fi
exit $failed
