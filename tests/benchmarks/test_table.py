"""Test the arithmetic of the benchmark table."""

import pytest

from benchmarks import table


def test_the_row_faster_is_the_other_time_divided_by_ours() -> None:
    row = table.faster("m", [1.0, 2.0, 4.0], [20.0, 20.0, 20.0], least=10)
    assert (row.ratio, row.must, row.holds) == ("10.00 / 5.00", "≥ 10×", True)
    assert (row.ours, row.other) == ("2.0 / 4.0 ms", "20.0 / 20.0 ms")


def test_the_row_share_is_our_time_divided_by_the_other() -> None:
    row = table.share("m", [1.0, 2.0, 4.0], [2.0, 2.0, 2.0], most=0.9)
    assert (row.ratio, row.must, row.holds) == ("1.00 / 2.00", "≤ 0.9×", False)


def test_quantiles_are_the_nearest_value() -> None:
    values = [float(number) for number in range(1, 22)]
    assert table.quantile(values, 0.95) == 20.0
    assert table.quantile(values, 0.05) == 2.0


def test_rows_of_one_part_are_renewed_in_their_places_and_new_ones_follow() -> None:
    old = [table.share(name, [2.0], [1.0], most=1.0) for name in ("a", "b", "c")]
    page = f"# Title\n\n{table.markdown(old)}\n\nText.\n"
    fresh = [table.share(name, [1.0], [1.0], most=1.0) for name in ("b", "d")]
    kept, renewed, last = old[0], fresh, old[2]
    assert table.renewed(page, fresh) == (
        f"# Title\n\n{table.markdown([kept, *renewed, last])}\n\nText.\n"
    )
    with pytest.raises(ValueError, match="no row"):
        table.renewed(page, fresh[1:])


def test_a_missed_target_is_marked_in_the_table() -> None:
    lines = table.markdown([table.share("m", [2.0], [1.0], most=1.0)]).splitlines()
    assert len(lines) == 3
    assert lines[-1].endswith("| **no** |")
