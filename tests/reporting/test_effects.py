"""Figures of the linear model beside the networks answer to their tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from glacierscale.reporting import effects, page

DRIVERS = {"temperature": "cpdd_anomaly", "winter snow": "winter_snow_anomaly", "summer snow": "summer_snow_anomaly"}


def effect_table(*models: str) -> pd.DataFrame:
    rows = []
    for model in models:
        rows += [
            (model, "driver", name, v, v - 30, v + 30, 0.8 * v, 0.2 * v, np.nan, 1.0, 1.0)
            for name, v in zip(DRIVERS, (-300.0, 100.0, 80.0), strict=True)
        ]
        rows += [
            (model, "predictor", name, v, v - 30, v + 30, 0.0, v, 0.9, share, 0.77)
            for name, v, share in (("slope20", 40.0, 0.98), ("temp_jul_anomaly", -60.0, 0.5), ("lat", 0.0, np.nan))
        ]
        rows.append((model, "interaction", "slope20 x cpdd_anomaly", 10.0, 0.0, 20.0, 0.0, 10.0, 0.4, 0.4, 0.33))
    table = pd.DataFrame(rows, columns=list(effects.TABLES["effects"]))
    table.loc[table.model != "lasso", ["selected", "folds_same_sign"]] = np.nan
    return table


def partial_table(*models: str) -> pd.DataFrame:
    parts = []
    for model in models:
        for variable, name, unit, size in (
            ("temperature", "cpdd_anomaly", "K day", -5.0),
            ("winter snow", "winter_snow_anomaly", "kg m-2", 1.0),
            *((f"place {n}", f"place_{n}", "m2" if n == 4 else "degree", 0.1 * n) for n in range(5)),
        ):
            value = np.linspace(-100, 100, 21) * (1e4 if unit == "m2" else 1)
            effect = size * np.linspace(-100, 100, 21)
            own = {
                "model": model,
                "variable": variable,
                "predictor": name,
                "unit": unit,
                "value": value,
                "share_below": np.linspace(0, 1, 21),
                "effect": effect,
                "low": effect - 5,
                "high": effect + 5,
            }
            parts.append(pd.DataFrame(own))
    return pd.concat(parts, ignore_index=True)


def contribution_table(*models: str) -> pd.DataFrame:
    rows = []
    for model in models:
        for region, first, last, melt, winter in (
            ("", 1990, 1999, -150.0, 40.0), ("", 2000, 2009, -300.0, -30.0), ("", 2010, 2012, 100.0, 10.0),
            ("Massif", 2000, 2009, -900.0, 0.0),
        ):  # fmt: skip
            terms = {"temperature": melt, "winter snow": winter, "topography": 0.0, "total": melt + winter}
            rows += [(model, region, first, last, term, value, 12.0) for term, value in terms.items()]
    return pd.DataFrame(rows, columns=list(effects.TABLES["contributions"]))


def tables(*models: str) -> dict[str, pd.DataFrame]:
    return {
        "effects": effect_table(*models),
        "partial_effects": partial_table(*models),
        "contributions": contribution_table(*models),
    }


def test_every_driver_and_the_strongest_predictors_have_a_mark_in_each_model(drawing):
    svg = effects.effect_figure(effect_table("lasso", "mlp"))
    texts = drawing.texts(svg)
    for name in (*DRIVERS, "slope20", "temp_jul_anomaly"):
        for model in ("lasso", "mlp"):
            assert drawing.marks(svg, f"effect-{model}-{name.replace(' ', '_')}") == 1
    assert {"temp jul", "slope20 × degree days", "draws", "folds", "98 %", "77 %", "Lasso", "MLP"} <= texts
    assert "lat" not in texts  # no effect
    assert "the first is temp jul" in svg


def test_only_so_many_predictors_are_drawn_and_a_network_alone_has_no_folds(drawing):
    assert "slope20" not in drawing.texts(effects.effect_figure(effect_table("lasso"), top=1))
    texts = drawing.texts(effects.effect_figure(effect_table("mlp")))
    assert "temp jul" in texts
    assert "folds" not in texts


def test_responses_are_drawn_for_drivers_and_the_topography_that_matters_most(drawing):
    svg = effects.response_figure(partial_table("lasso", "mlp"))
    texts = drawing.texts(svg)
    for model in ("lasso", "mlp"):
        assert drawing.marks(svg, f"response-{model}-temperature") == 1
    assert {"degree days anomaly, K day", "winter snow anomaly, kg m⁻²", "place 1, degree", "place 4, km²"} <= texts
    assert "place 0, degree" not in texts


def test_stacks_of_a_decade_are_drawn_with_their_total_and_short_decades_named(drawing):
    svg = effects.contribution_figure(contribution_table("lasso", "mlp"))
    texts = drawing.texts(svg)
    for model in ("lasso", "mlp"):
        assert drawing.marks(svg, f"total-{model}") == 3
        assert svg.count(f'term-{model}-temperature"') == 3
    assert {"1990s", "2000s", "2010–", "2012", "temperature", "winter snow", "total"} <= texts
    assert "topography" not in texts  # never leaves zero


def test_the_worst_decade_is_told_in_words_with_its_terms():
    text = effects.contribution_words(contribution_table("lasso", "mlp"))
    assert text == (
        "The hydrological years 2000–2009 lie furthest below the mean of the reference years: −0.33 m w.e. per year in "
        "the model Lasso, of it −0.30 from temperature, −0.03 from winter snow."
    )
    assert "in the model MLP" in effects.contribution_words(contribution_table("mlp"))


def test_a_short_decade_is_not_the_worst_while_there_are_long_ones():
    table = contribution_table("lasso")
    short = table.first_year == 2010
    table.loc[short, "anomaly"] -= 900
    assert "2000–2009 lie furthest" in effects.contribution_words(table)
    assert "2010–2012 lie furthest" in effects.contribution_words(table[short])


def test_an_answer_against_nature_is_called_one():
    table = effect_table("lasso", "mlp")
    assert effects.sign_words(table) == ""
    wrong = (table.kind == "driver") & table.predictor.isin(["temperature", "summer snow"]) & (table.model == "lasso")
    table.loc[wrong, "effect"] *= -1
    assert "wrong sign within glaciers: Lasso to temperature, summer snow. Warmth" in effects.sign_words(table)
    table.loc[wrong, "same_sign"] = 0.8  # not sure
    assert effects.sign_words(table) == ""


@pytest.mark.parametrize(
    ("name", "printed"), [("cpdd_anomaly", "degree days"), ("slope20 x cpdd", "slope20 × degree days")]
)
def test_predictors_are_spelt_out(name, printed):
    assert effects.spelt(name) == printed
    assert effects.spelt("slope20 x cpdd_anomaly", {"cpdd"}) == "slope20 × degree days anomaly"


def rendered(made, **more: pd.DataFrame) -> str:
    data = made.reconstruction()
    given = {"facts": {"Options": "none"}, "title": "T", "more": more}
    return page.render(data, made.predictions(data), made.scores(), **given)


def test_the_page_shows_causes_where_there_are_any_and_says_when_no_model_is_linear(made):
    assert 'id="causes"' not in rendered(made)
    both = rendered(made, **tables("lasso", "mlp"))
    assert both.count('href="#causes"') == 1
    for figure in ("effect_figure", "response_figure", "contribution_figure"):
        assert f'class="{figure}"' in both
    assert "no parallel linear model" not in both
    assert "refits on resampled glaciers and years" in both
    assert "wrong sign" not in both
    against = tables("lasso")
    against["effects"]["effect"] *= -1
    assert "Answers with the wrong sign within glaciers: Lasso" in rendered(made, **against)
    alone = rendered(made, **tables("mlp"))
    assert "No Lasso was trained, so there is no parallel linear model" in alone
    assert "refits on resampled" not in alone


def test_a_table_of_causes_that_lacks_columns_is_refused(made):
    broken = effect_table("lasso").drop(columns=["low", "same_sign"])
    with pytest.raises(ValueError, match=r"the effects table lacks the columns \['low', 'same_sign'\]; it has"):
        rendered(made, effects=broken)
