import signal
import threading
from pathlib import Path

import pytest
import torch

from training.common.loop import MAX_BAD_STEPS, Run, cosine_lr, write_log
from training.common.prefetch import prefetch


def train(folder: Path, steps: int, stop: int) -> torch.nn.Linear:
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 1)
    run = Run(folder, net, steps, 8, 0.05, 0.0, seed=1)
    for step in range(run.step, stop):
        x = torch.from_numpy(run.rng(step).standard_normal((8, 4))).float()
        run.update((net(x) - x.sum(1, keepdim=True)).pow(2).mean())
    run.save()
    return net


def test_a_resumed_run_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", 200, 200)
    train(tmp_path / "parts", 200, 90)
    parts = train(tmp_path / "parts", 200, 200)
    assert torch.equal(whole.weight, parts.weight)
    assert float((whole.weight.detach() - 1).abs().max()) < 0.2  # and it learned the sum
    assert (tmp_path / "whole" / "log.csv").read_text().startswith("step,samples,loss")


def test_a_run_that_is_told_to_stop_loses_nothing(tmp_path: Path) -> None:
    net = torch.nn.Linear(4, 1)
    run = Run(tmp_path, net, 50, 8, 0.05, 0.0, seed=1)
    for step in range(7):
        if step == 6:
            signal.raise_signal(signal.SIGTERM)
            with pytest.raises(SystemExit, match="stopped at step 7 of 50; the same command resumes it"):
                run.update(net(torch.ones(8, 4)).mean())
        else:
            run.update(net(torch.ones(8, 4)).mean())
    assert Run(tmp_path, net, 50, 8, 0.05, 0.0, seed=1).step == 7


def test_losses_that_are_no_numbers_change_nothing_and_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
    run, before = Run(tmp_path, net, 50, 8, 0.05, 0.0, seed=1), {k: v.clone() for k, v in net.state_dict().items()}
    run.save()
    saved = (tmp_path / "state.pt").read_bytes()
    run.update(net(torch.full((8, 4), torch.nan)).mean(), then=lambda: pytest.fail("a critic learns from NaN"))
    for network in (net, run.average.net):
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    monkeypatch.setattr("training.common.loop.CHECKPOINT_SECONDS", 0)
    with pytest.raises(SystemExit, match="not finite since step 0"):
        for _ in range(MAX_BAD_STEPS):
            run.update(net(torch.full((8, 4), torch.nan)).mean())
    assert (tmp_path / "state.pt").read_bytes() == saved


def test_what_a_run_goes_on_from_is_not_shown_again_in_the_same_order(tmp_path: Path) -> None:
    first = Run(tmp_path / "first", torch.nn.Linear(4, 1), 50, 8, 0.05, 0.0, seed=1)
    first.step = 50
    first.save()
    second = Run(tmp_path / "second", torch.nn.Linear(4, 1), 50, 8, 0.05, 0.0, seed=1, start=tmp_path / "first")
    assert first.rng(3).random() != second.rng(3).random() == second.rng(3).random()


def test_a_folder_goes_on_with_its_own_command_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*options: str) -> Run:
        monkeypatch.setattr("sys.argv", ["train_x.py", *options])
        return Run(tmp_path, torch.nn.Linear(4, 1), 50, 8, 0.05, 0.0, seed=1)

    run("--data", "/here", "--samples", "400").save()
    assert run("--data", "/there", "--samples", "400", "--cache", "/elsewhere").step == 0
    with pytest.raises(SystemExit, match=r"another command(.|\n)*python -m training.train_x --data DATA --samples 400$"):
        run("--data", "/here", "--samples", "800")


def test_a_run_of_minutes_ends_by_the_clock_and_counts_those_it_had_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("training.common.loop.time.monotonic", lambda: clock[0])

    def go(stop: bool) -> tuple[Run, list[float]]:
        torch.manual_seed(0)
        net = torch.nn.Linear(4, 1)
        run, rates = Run(tmp_path, net, 10**9, 8, 0.05, 0.0, seed=1, minutes=1.0), []
        for x in run.batches(lambda step: torch.ones(8, 4) * step, threads=2):
            clock[0] += 1.0
            if stop and run.step == 20:
                signal.raise_signal(signal.SIGTERM)
            run.update(net(x).mean())
            rates.append(run.optimizer.param_groups[0]["lr"])
        return run, rates

    with pytest.raises(SystemExit, match="stopped at step 21; the same command resumes it"):
        go(stop=True)
    clock[0] += 1000
    run, rates = go(stop=False)
    assert run.step == 60 and len(rates) == 39 and run.progress == 1.0
    assert Run(tmp_path, torch.nn.Linear(4, 1), 10**9, 8, 0.05, 0.0, seed=1, minutes=1.0).step == 60


def test_the_schedule_rises_and_falls() -> None:
    rates = [cosine_lr(s, 1000) for s in range(1000)]
    assert rates[0] < rates[99] == max(rates) and rates[-1] < 0.02


def test_batches_made_ahead_keep_their_order_and_hand_on_errors() -> None:
    assert list(prefetch(lambda s: s * s, 2, 9, threads=3)) == [s * s for s in range(2, 9)]

    def bad(step: int) -> int:
        if step == 3:
            raise ValueError("no")
        return step

    with pytest.raises(ValueError, match="no"):
        list(prefetch(bad, 0, 9, threads=2))


def test_threads_end_with_a_training_that_is_stopped() -> None:
    before = threading.active_count()
    for _ in (batches := prefetch(lambda s: s, 0, 10**9, threads=3)):
        break
    batches.close()
    assert threading.active_count() == before


def test_a_log_bears_columns_that_come_and_go_and_drops_what_was_not_kept(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    for row in ({"step": 100, "a": 1, "b": 2}, {"step": 200, "a": 3}, {"step": 300, "a": 4}, {"step": 200, "c": 5}):
        write_log(log, row)
    assert log.read_text().splitlines() == ["step,a,b,c", "100,1,2,", "200,,,5"]
