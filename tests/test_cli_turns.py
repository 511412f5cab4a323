from threading import Event, Lock
from time import sleep

import pytest

from maefuse_hf.cli.turns import Turns, in_threads


def test_results_are_in_order_whoever_ends_first():
    later = Event()

    def work(number):
        if number == 0:
            assert later.wait(10)
        if number == 1:
            later.set()
        return number * 10

    assert list(in_threads(work, range(5), 2, Turns())) == [0, 10, 20, 30, 40]


def test_one_at_a_time_has_a_turn():
    turns, inside = Turns(), Lock()

    def work(number):
        with turns:
            assert inside.acquire(blocking=False)
            sleep(0.01)
            inside.release()
        return number

    assert list(in_threads(work, range(6), 3, turns)) == list(range(6))


def test_an_error_stops_what_has_begun_and_gives_up_the_rest():
    turns, begun, failed = Turns(), [], Event()

    def work(number):
        begun.append(number)
        if number == 1:
            failed.set()
            raise KeyboardInterrupt
        while number:  # long work, with many turns
            with turns:
                sleep(0.001)
        assert failed.wait(10)

    with pytest.raises(KeyboardInterrupt):
        list(in_threads(work, range(50), 3, turns))
    # ended, though one of them would have gone on for ever
    assert len(begun) < 50


def test_results_that_are_no_longer_read_stop_the_work():
    turns = Turns()
    results = in_threads(lambda number: number, range(50), 2, turns)
    assert next(results) == 0
    results.close()
    with pytest.raises(KeyboardInterrupt), turns:
        pass
