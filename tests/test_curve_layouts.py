"""Losses from the layouts that trackers, trainers and spreadsheets write.

Every fixture is written by hand after the real layout: names of columns, separators, prefixes and
sparse rows are those of the tool; the numbers are made up.
"""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest

from ngramstat.errors import InputError
from ngramstat.prediction.curve_files import CurveOptions, read_curves, read_curves_and_sizes

# Losses at steps 250, 500 and 1000, of 1,000 tokens each.
LOSSES = [5.1, 4.25, 3.5]
STEPS = [250, 500, 1000]
BY_STEP = {"context": 128, "tokens_per_step": 1000}
SEEN = {"context": 128}


def trainer_state():
    rows = []
    for step, loss in zip(STEPS, LOSSES, strict=True):
        rows.append(
            {
                "epoch": step / 2000,
                "grad_norm": math.nan,
                "learning_rate": 1e-4,
                "loss": loss + 0.5,
                "num_input_tokens_seen": step * 1000,
                "step": step,
            }
        )
        rows.append({"epoch": step / 2000, "eval_loss": loss, "eval_runtime": 9.1,
                     "eval_samples_per_second": 22.6, "num_input_tokens_seen": step * 1000,
                     "step": step})  # fmt: skip
    rows.append({"epoch": 1.0, "step": 1000, "total_flos": 1e15, "train_loss": 4.9,
                 "train_runtime": 91.2, "train_steps_per_second": 1.1})  # fmt: skip
    state = {"best_metric": None, "epoch": 1.0, "global_step": 1000, "is_world_process_zero": True,
             "log_history": rows, "logging_steps": 250, "max_steps": 1000,
             "num_input_tokens_seen": 1000000, "stateful_callbacks": {}}  # fmt: skip
    return json.dumps(state, indent=2)


def wandb_chart():
    head = '"Step","lucky-star-7 - eval/loss","lucky-star-7 - eval/loss__MIN",' + (
        '"lucky-star-7 - eval/loss__MAX"'
    )
    return "\n".join([head, *(f'"{s}","{y}","{y}","{y}"' for s, y in points())]) + "\n"


def wandb_chart_by_tokens():
    head = '"train/num_input_tokens_seen","lucky-star-7 - eval/loss",' + (
        '"lucky-star-7 - eval/loss__MIN","lucky-star-7 - eval/loss__MAX"'
    )
    return "\n".join([head, *(f'"{s * 1000}","{y}","{y}","{y}"' for s, y in points())]) + "\n"


def points():
    return zip(STEPS, LOSSES, strict=True)


def lines(template, extra=()):
    return "\n".join([*extra, *(template.format(s=s, y=y) for s, y in points())]) + "\n"


TEXTS = {
    "W&B chart": ("wandb_export_2024-05-01T10_00_00.000+02_00.csv", wandb_chart(), BY_STEP),
    "W&B chart by tokens": ("wandb_export.csv", wandb_chart_by_tokens(), SEEN),
    "MLflow CSV": (
        "metrics.csv",
        "run_id,key,value,step,timestamp\n"
        + "".join(f"0a1b,train_loss,{y + 1},{s},1717000000000\n" for s, y in points())
        + "".join(f"0a1b,val_loss,{y},{s},1717000000000\n" for s, y in points()),
        BY_STEP,
    ),
    "Hugging Face": ("trainer_state.json", trainer_state(), SEEN),
    "Hugging Face by steps": ("trainer_state.json", trainer_state(), BY_STEP),
    "Lightning": (
        "metrics.csv",
        "epoch,step,train_loss_epoch,train_loss_step,val_loss\n"
        + "".join(f"0,{s},,{y + 1},\n0,{s},,,{y}\n" for s, y in points())
        + "0,1000,5.9,,\n",
        BY_STEP,
    ),
    "TensorBoard CSV": (
        "run-1-tag-eval_loss.csv",
        "Wall time,Step,Value\n" + "".join(f"1717000000.25,{s},{y}\n" for s, y in points()),
        BY_STEP,
    ),
    "TensorBoard JSON": (
        "run-1-tag-eval_loss.json",
        json.dumps([[1717000000.25, s, y] for s, y in points()]),
        BY_STEP,
    ),
    "JSON lines": (
        "log.jsonl",
        "".join(
            json.dumps({"step": s, "train": {"loss": y + 1}}) + "\n"
            + json.dumps({"step": s, "val_loss": y, "tokens_seen": s * 1000, "ppl": 9.0}) + "\n"
            for s, y in points()
        ),
        SEEN,
    ),
    "JSON lines without a suffix": (
        "log",
        "".join(json.dumps({"step": s, "loss": y}) + "\n" for s, y in points()),
        BY_STEP,
    ),
    "TSV": (
        "losses.tsv",
        "context\ttokens\tloss\n" + "".join(f"128\t{s * 1000}\t{y}\n" for s, y in points()),
        {},
    ),
    "llm.c": (
        "main.log",
        lines("s:{s} tel:{y:.4f}", ["s:0 tel:11.0089", "s:0 trl:11.0012 lr:0.000001 norm:15.36",
                                    "s:250 eval:0.2463"]),
        BY_STEP,
    ),
    "modded-nanogpt": (
        "0a1b2c3d.txt",
        lines("step:{s}/1000 val_loss:{y:.4f} train_time:1234ms step_avg:98.25ms",
              ["import os", 'print0(f"step:{step}/{n} val_loss:{val_loss:.4f} train_time:...")',
               "=" * 100, "step:0/1000 val_loss:10.8258 train_time:0ms step_avg:0.03ms",
               "step:1/1000 train_time:433ms step_avg:433.40ms"]),
        BY_STEP,
    ),
    "nanoGPT": (
        "train.log",
        lines("step {s}: train loss 9.9000, val loss {y:.4f}\nsaving checkpoint to out\n"
              "iter {s}: loss 2.0691, time 79104.90ms, mfu 0.90%",
              ["number of parameters: 10.65M", "step 0: train loss 10.9, val loss 10.8"]),
        BY_STEP,
    ),
    "build-nanogpt": (
        "log.txt",
        lines("{s} val {y:.4f}\n{s} hella 0.2463\n{s} train 9.955029", ["0 val 10.9511"]),
        BY_STEP,
    ),
    "nanochat": (
        "base_train.log",
        lines("step {s:05d}/21400 (0.50%) | loss: {y:.6f} | lrm: 1.00 | dt: 10.5ms | tok/sec: 9",
              ["Step 00000 | Validation bpb: 3.209876"]),
        BY_STEP,
    ),
    "torchtitan": (
        "slurm-1.out",
        lines("[rank0]:[titan] 2025-06-04 08:51:48,074 - root - INFO - \x1b[31mstep: {s:2}  "
              "\x1b[32mloss: {y:7.4f}  \x1b[33mgrad_norm:  0.6113  \x1b[36mmemory: 27.34GiB(28.78%)"
              "  \x1b[34mtps: 7,034  tflops: 407.35  mfu: 41.19%\x1b[0m",
              ["[rank0]:[titan] 2025-06-04 08:51:40 - root - INFO - Training starts at step 1"]),
        BY_STEP,
    ),
    "Megatron-LM": (
        "pretrain.log",
        lines(" [2024-10-24 21:02:42] iteration {s:8}/   40000 | consumed samples:         6400 | "
              "elapsed time per iteration (ms): 255.5 | global batch size:    64 | "
              "lm loss: 9.620361E+00 | loss scale: 1.0 | grad norm: 1.660 |\n"
              "----\n validation loss at iteration {s} | lm loss value: {y:.6E} | "
              "lm loss PPL: 1.040253E+01 | \n----",
              ["training ..."]),
        BY_STEP,
    ),
    "litgpt": (
        "pretrain.out",
        lines("Epoch 1 | iter {s} step 10 | loss train: 10.938, val: n/a | iter time: 357.38 ms "
              "(step) remaining time: 0:10:00\nValidating ...\n"
              "iter {s}: val loss {y:.4f}, val time: 1234.56 ms"),
        BY_STEP,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_real_layouts_are_read(tmp_path, name):
    file, text, options = TEXTS[name]
    (tmp_path / file).write_text(text, encoding="utf-8")
    table = read_curves(tmp_path / file, **options)
    assert table.context.tolist() == [128] * 3
    assert table.tokens.tolist() == [250e3, 500e3, 1e6]
    np.testing.assert_allclose(table.loss, LOSSES, rtol=1e-12)
    if name == "TSV":
        assert table.notes == ()
        return
    assert "3 losses from" in table.notes[0]
    assert any("one training run" in note for note in table.notes)


def test_one_loss_and_those_before_the_training_are_told_in_plain_english(tmp_path):
    path = tmp_path / "main.log"
    path.write_text("s:0 tel:11.0\ns:250 tel:5.0\n")
    notes = read_curves(path, **BY_STEP).notes
    assert "1 loss from 'val_loss'" in notes[0]
    assert f"{path}: the loss at step 0, before any training, is left out" in notes


def test_history_of_wandb_has_nulls_where_nothing_was_logged(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    n = len(STEPS)
    columns = {
        "_step": list(range(2 * n)),
        "_timestamp": [1717e6 + i for i in range(2 * n)],
        "train/loss": [y + 1 if half == 0 else None for y in LOSSES for half in (0, 1)],
        "eval/loss": [y if half == 1 else None for y in LOSSES for half in (0, 1)],
        "train/global_step": [s for s in STEPS for _ in (0, 1)],
        "sample": [[1, 2]] * (2 * n),
    }
    pq.write_table(pa.table(columns), tmp_path / "0000.parquet")
    table = read_curves(tmp_path / "0000.parquet", **BY_STEP)
    assert table.tokens.tolist() == [250e3, 500e3, 1e6]
    assert table.loss.tolist() == LOSSES
    assert "'eval/loss' (validation loss" in table.notes[0]
    assert "'train/global_step' x 1000" in table.notes[0]


def test_parquet_that_is_cut_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1" + bytes(40))
    with pytest.raises(InputError, match=r"cut\.parquet: not a readable Parquet file"):
        read_curves(tmp_path / "cut.parquet")


def mlflow_run(root, metrics):
    for name, values in metrics.items():
        file = root / "metrics" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"1717000000000 {y} {s}\n" for s, y in values))
    return root


def test_a_run_of_mlflow_is_read_from_its_directory_and_from_one_metric(tmp_path):
    metrics = {"train/loss": [(s, y + 1) for s, y in points()], "eval/loss": list(points())}
    run = mlflow_run(tmp_path / "mlruns/0/1a2b", metrics)
    for path in (run, run / "metrics/eval/loss"):
        table = read_curves(path, **BY_STEP)
        assert table.loss.tolist() == LOSSES
        assert "'eval/loss' (validation loss" in table.notes[0]
    # Tokens that were logged as a metric of the same steps.
    mlflow_run(run, {"train/tokens_seen": [(s, s * 1000) for s in STEPS]})
    assert read_curves(run, **SEEN).tokens.tolist() == [250e3, 500e3, 1e6]
    (run / "metrics/eval/loss").write_text("1717000000000 3.5 250\n1717000000000 3.4\n")
    with pytest.raises(InputError, match=r"loss: line 2: is not \"timestamp value step\""):
        read_curves(run, **BY_STEP)


# --- events of TensorBoard -------------------------------------------------------------------


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data):
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def field(number, wire, content):
    key = bytes([number << 3 | wire])
    return key + (bytes([len(content)]) + content if wire == 2 else content)


def event(step, tag, value, *, tensor=False):
    """An Event of TensorBoard as protocol buffer, by hand; `tensor` as TensorFlow 2 writes it."""
    number = struct.pack("<f", value)
    inner = field(2, 5, number)
    if tensor:
        inner = field(8, 2, field(1, 0, b"\x01") + field(4, 2, number))
    value_message = field(1, 2, tag.encode()) + inner
    count = bytes([step & 0x7F | 0x80, step >> 7])
    return (
        field(1, 1, struct.pack("<d", 1.7e9))
        + field(2, 0, count)
        + field(5, 2, field(1, 2, value_message))
    )


def events(*, tensor=False):
    version = field(1, 1, struct.pack("<d", 1.7e9)) + field(3, 2, b"brain.Event:2")
    out = [record(version)]
    for step, loss in points():
        out.append(record(event(step, "train/loss", loss + 1, tensor=tensor)))
        out.append(record(event(step, "eval/loss", loss, tensor=tensor)))
    return b"".join(out)


@pytest.mark.parametrize("tensor", [False, True], ids=["simple", "tensor"])
def test_scalars_of_tensorboard(tmp_path, tensor):
    pytest.importorskip("tensorboard")
    file = tmp_path / "events.out.tfevents.1717000000.host.1.0"
    # An image lies between the scalars; its content is stepped over.
    file.write_bytes(events(tensor=tensor) + record(bytes(70_000)))
    for path in (file, tmp_path):
        table = read_curves(path, **BY_STEP)
        assert table.tokens.tolist() == [250e3, 500e3, 1e6]
        np.testing.assert_allclose(table.loss, LOSSES, rtol=1e-6)
        assert "events of TensorBoard: 3 losses from 'eval/loss'" in table.notes[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-9], "is cut by the end of the file"),
        (lambda data: data[:-6] + b"\0\0" + data[-4:], "wrong checksum"),
        (lambda data: data + b"\1\2\3", "no record of TensorBoard begins here"),
        (lambda data: data + record(b"\x0a\xff"), "is not an event"),
        (lambda data: data + struct.pack("<Q", 1 << 62) + masked(struct.pack("<Q", 1 << 62)) + b"x",
         "is cut by the end"),
    ],
    ids=["cut", "bit", "trailing", "protobuf", "huge"],
)  # fmt: skip
def test_damaged_events_are_refused_with_their_byte(tmp_path, change, words):
    pytest.importorskip("tensorboard")
    file = tmp_path / "events.out.tfevents.1"
    file.write_bytes(change(events()))
    with pytest.raises(InputError, match=rf"tfevents\.1: byte \d+: .*{words}"):
        read_curves(file, **BY_STEP)


def test_event_files_in_directories_below_are_named(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "events.out.tfevents.1").write_bytes(events())
    with pytest.raises(InputError, match=r"such as 'train'; give one of them"):
        read_curves(tmp_path, **BY_STEP)


# --- tables of spreadsheets ------------------------------------------------------------------

PLAIN = [("1", "100000", "5.1"), ("1", "200000", "4.9"), ("2", "100000", "4.8")]


def table_text(head="context,tokens,loss", sep=",", nl="\n", rows=PLAIN):
    return head + nl + nl.join(sep.join(row) for row in rows) + nl


@pytest.mark.parametrize(
    "text",
    [
        table_text(),
        "\ufeff" + table_text(),
        table_text(nl="\r\n"),
        table_text("context, tokens, loss", ", "),
        table_text("context;tokens;loss", ";"),
        table_text("Context,Tokens,LOSS"),
        table_text('"context","tokens","loss"'),
        table_text() + "\n\n,,\n",
        table_text(",context,tokens,loss", rows=[("0", *row) for row in PLAIN]),
        table_text(rows=[(n, f"{float(p):.1e}", y) for n, p, y in PLAIN]),
        table_text(rows=[(f"{n}.0", f"{p}.0", y) for n, p, y in PLAIN]),
        table_text("context;tokens;loss", ";", rows=[(n, p, y.replace(".", ","))
                                                     for n, p, y in PLAIN]),
    ],
    ids=["plain", "bom", "crlf", "blanks", "semicolon", "capitals", "quoted", "emptyline", "index",
         "sci", "floatctx", "decimal comma"],
)  # fmt: skip
def test_tables_of_spreadsheets_are_read_alike(tmp_path, text):
    (tmp_path / "losses.csv").write_text(text, encoding="utf-8", newline="")
    table = read_curves(tmp_path / "losses.csv")
    assert table.context.tolist() == [1, 1, 2]
    assert table.tokens.tolist() == [1e5, 2e5, 1e5]
    assert table.loss.tolist() == [5.1, 4.9, 4.8]
    assert table.notes == ()


def test_rows_without_a_loss_are_left_out_and_counted(tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text(table_text(rows=[*PLAIN, ("4", "100000", ""), ("4", "200000", " ")]))
    table = read_curves(path)
    assert len(table.loss) == 3
    assert table.notes == (f"{path}: 2 rows without a loss left out",)


def test_repeated_points_are_averaged_and_said(tmp_path):
    path = tmp_path / "dup.csv"
    path.write_text(table_text(rows=[*PLAIN, ("1", "100000", "4.9"), ("1", "100000", "9.9")]))
    table = read_curves(path)
    assert table.loss[0] == pytest.approx((5.1 + 4.9 + 9.9) / 3)
    assert table.error[0] == pytest.approx(np.std([5.1, 4.9, 9.9], ddof=1) / math.sqrt(3))
    assert table.replicates.tolist() == [3, 1, 1]
    (note,) = table.notes
    assert "1 of 3 points are given more than once without seeds" in note
    assert "context 1 at 100000 tokens (3 losses from 4.9 to 9.9)" in note
    # Different seeds are meant to be averaged.
    seeded = [(*row, str(i)) for i, row in enumerate([*PLAIN, ("1", "100000", "4.9")])]
    path.write_text(table_text("context,tokens,loss,seed", rows=seeded))
    assert read_curves(path).notes == ()


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (table_text(rows=[("1", "1e5", "nan")]), {}, ["line 2", "loss is nan", "leave out"]),
        (table_text("context;tokens;loss", ";", rows=[("1", "100,000", "4,125")]), {},
         ["line 2", "thousands or decimals", "1234.5"]),
        (table_text("context;tokens;loss", ";", rows=[("1", "100.5", "4,12")]), {},
         ["line 2", "a comma", "a point"]),
        ("step,loss\n250,5.1\n", {"context": 8},
         ["line 1", "counts steps ('step')", "tokens_per_step N"]),
        ("tokens,loss\n250,5.1\n", {}, ["line 1", "no column 'context'", "context T"]),
        ("context,loss\n1,5.1\n", {}, ["line 1", "no column 'tokens'", "columns['tokens']"]),
        ("context,tokens,perplexity\n1,5,100\n", {}, ["'perplexity' is in", "unit='perplexity'"]),
        ("context,tokens,val_bpb\n1,5,1.1\n", {}, ["'val_bpb'", "bytes", "ln 2"]),
        ("context,tokens,loss\n1,5,3\n", {"columns": {"loss": "val"}},
         ["no column 'val' for the loss", "'context', 'tokens', 'loss'"]),
        ("step,a/val_loss,b/val_loss\n1,2,3\n", BY_STEP, ["2 columns", "columns['loss']"]),
        ("loss,n_tokens,total_tokens\n5,2,3\n", SEEN, ["2 columns", "columns['tokens']"]),
        ("epoch,step,loss,tokens,total_tokens\n0,1,3,8,64\n", SEEN,
         ["'tokens', 'total_tokens'", "columns['tokens']"]),
        ("step,step,loss\n1,1,3\n", BY_STEP, ["two columns are called 'step'"]),
        ("step,loss\n1.5,3\n", BY_STEP, ["line 2", "step 1.5"]),
        ("step,val_loss,tokens_seen\n10,3,\n20,,5\n", SEEN, ["line 2", "the same step"]),
        ("run_id,key,value,step,timestamp\na,loss,3,1,1\nb,loss,4,1,1\n", BY_STEP,
         ["2 columns", "'a - loss', 'b - loss'"]),
        ("Wall time,Step,Value\n1,2,3\n", BY_STEP, ["'Value'", "columns['loss']"]),
        ("s:0 tel:11.0089\ns:250 tel:5.3", BY_STEP, ["line 2", "ends within"]),
        ("s:0 tel:11.0089\ns:250 tel:5.1x2\n", BY_STEP, ["line 2", "llm.c", "cut or changed"]),
        ("s:0 tel:11.0089\ns:250 tel:nan\n", BY_STEP, ["line 2", "loss is nan"]),
        ("s:1 tel:11.0\nstep:1/9 val_loss:9 train_time:1ms\n", BY_STEP, ["line 2", "llm.c"]),
        ('{"step": 1, "loss": 3}\n{"step": 2, "lo', BY_STEP, ["line 2", "not valid JSON"]),
        ('{"step": 1, "loss": 3}\n{"step": 2, "step": 3}\n', BY_STEP, ["line 2", "'step' occurs"]),
        ('{"step": 1, "loss": 3}\n[1]\n', BY_STEP, ["line 2", "object"]),
        ('{"log_history": [{"step": 1, "loss": 3}, 4]}', BY_STEP, ["log_history 1", "object"]),
        ("a\0b", {}, ["NUL byte"]),
        ("\x1f\x8b\x08", {}, ["gzip", "unpack"]),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_place_and_remedy(tmp_path, text, options, words):
    path = tmp_path / "losses.txt"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as refused:
        read_curves(path, **options)
    for word in ("losses.txt", *words):
        assert word in str(refused.value)


def test_units_columns_and_tokens_are_as_the_user_says(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("context,seen,val_ppl,other_loss,error\n1,100,20,1,2\n2,100,10,1,\n")
    table = read_curves(path, columns={"tokens": "Seen", "loss": "val_ppl"}, unit="perplexity")
    np.testing.assert_allclose(table.loss, np.log([20, 10]))
    assert table.error[0] == pytest.approx(0.1)
    path.write_text("step,bits,notes\n1,2.0,x\n2,1.5,\n")
    table = read_curves(path, unit="bits", context=4, tokens_per_step=8)
    np.testing.assert_allclose(table.loss, np.log(2) * np.array([2, 1.5]))
    assert table.tokens.tolist() == [8, 16]


@pytest.mark.parametrize("kind", ["val", "train"])
def test_dense_logs_are_read_at_steps_even_in_the_logarithm(tmp_path, kind):
    steps = range(1, 3001)
    path = tmp_path / "metrics.csv"
    path.write_text(
        f"epoch,step,{kind}_loss\n" + "".join(f"0,{s},{2 + 8 * s**-0.3}\n" for s in steps)
    )
    table = read_curves(path, **BY_STEP)
    assert 24 < len(table.tokens) <= 48
    gaps = np.diff(np.log(table.tokens[-20:]))
    np.testing.assert_allclose(gaps, np.log(3000) / 48, rtol=0.1)
    # A mean over a bin lies close to the curve at its mean; the last of a bin lies on it.
    exact = 2 + 8 * (table.tokens / 1000) ** -0.3
    np.testing.assert_allclose(table.loss, exact, rtol=1e-3 if kind == "train" else 1e-12)
    assert (table.tokens[-1] == 3e6) == (kind == "val")
    note = next(note for note in table.notes if "3000 losses" in note and "bins" in note)
    assert ("the mean of" in note) == (kind == "train")


def test_several_files_are_one_set_of_curves(tmp_path):
    files = []
    for i in range(2):
        files.append(tmp_path / f"{i}.log")
        files[-1].write_text(f"s:250 tel:{5 - i}.5\ns:500 tel:{4 - i}.25\n")
    table = read_curves(files, context=[16, 64], tokens_per_step=[100, 200])
    assert table.context.tolist() == [16, 16, 64, 64]
    assert table.tokens.tolist() == [25e3, 50e3, 50e3, 100e3]
    sizes = [CurveOptions(context=8, tokens_per_step=1, parameters=size) for size in (1e6, 1e7)]
    table, by_size = read_curves_and_sizes(files, sizes)
    assert by_size[0].tolist() == [1e6, 1e6, 1e7, 1e7]
    assert table.loss.tolist() == [4.5, 3.25]
    with pytest.raises(InputError, match="3 values for 2 files"):
        read_curves(files, context=[1, 2, 3], tokens_per_step=1)


@pytest.mark.parametrize(
    "options",
    [{"unit": "hartley"}, {"columns": {"los": "x"}}, {"context": 0}, {"tokens_per_step": math.inf},
     {"tokens_per_step": 5, "columns": {"tokens": "t"}}],
)  # fmt: skip
def test_options_are_checked(tmp_path, options):
    (tmp_path / "c.csv").write_text(table_text())
    with pytest.raises(InputError, match=next(iter(options))):
        read_curves(tmp_path / "c.csv", **options)


def test_the_last_checkpoint_has_the_whole_log(tmp_path):
    for step, text in ((500, "{}"), (1000, trainer_state()), (250, "{}")):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(text)
    table = read_curves(tmp_path, **SEEN)
    assert table.loss.tolist() == LOSSES
    assert "checkpoint-1000/trainer_state.json: read as" in table.notes[0]


def test_directories_without_losses_and_missing_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"trainer_state\.json.*curves-\*\.csv"):
        read_curves(tmp_path)
    with pytest.raises(InputError, match=r"none\.csv"):
        read_curves(tmp_path / "none.csv")
    with pytest.raises(InputError, match="at least one"):
        read_curves([])


def test_damaged_files_never_crash(tmp_path):
    """Any change of a good file is read or refused, never a traceback."""
    rng = np.random.default_rng(7)
    path = tmp_path / "x"
    for _, text, options in TEXTS.values():
        good = text.encode()
        for _ in range(25):
            data = bytearray(good[: int(rng.integers(1, len(good) + 1))])
            for _ in range(int(rng.integers(0, 4))):
                data[int(rng.integers(len(data)))] = int(rng.integers(256))
            path.write_bytes(data)
            try:
                table = read_curves(path, **options)
            except InputError as error:
                assert str(path) in str(error)  # noqa: PT017
            else:
                assert np.all(table.loss > 0)
