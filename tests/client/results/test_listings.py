"""Lists of what a server has, as notebooks show them."""

import striate
from striate.results.listing import Listing
from tests.client.fakes.fakes_server import Fake


def test_lists_are_lists_and_tables(
    fake: Fake, service: striate.Service, net: striate.Model
) -> None:
    for found, word in (
        (service.models(), "architecture"),
        (net.layers, "receptive field"),
        (service.datasets(), "data set"),
    ):
        assert isinstance(found, list)
        assert len(found) > 0
        html = getattr(found, "_repr_html_")()  # noqa: B009 - a list by its type
        assert html.startswith("<table>")
        assert word in html
        assert html.count("<tr>") == 1 + len(found)


def test_columns_without_values_are_left_out_and_cells_are_escaped() -> None:
    columns = {"name": lambda item: item, "size": lambda item: "", "none": lambda item: None}
    html = Listing(["<b>", "c"], columns)._repr_html_()
    assert "&lt;b&gt;" in html
    assert "size" not in html
    assert "none" not in html
