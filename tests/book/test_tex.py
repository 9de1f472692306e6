"""The reader of formulas: what it takes for the same symbol, and what values it finds."""

import math

import pytest

from . import tex

POINT = {
    "t": 3,
    "x": 2.0,
    "y": -0.5,
    r"\beta_1": 0.9,
    r"\epsilon": 1e-8,
    r"\gamma_0": 0.5,
    r"\gamma_{\min}": 0.1,
    r"T_{\max}": 10.0,
    r"\mathrm{denom}_t": 4.0,
    "g_t": 0.7,
    "g'_t": 0.6,
    "m_t": 0.3,
    "m_{t-1}": 0.2,
    r"\hat{m}_t": 0.4,
    r"\hat{v}_t": 0.25,
    r"v^{\max}_t": 0.04,
    r"\hat{v}^{\max}_t": 0.09,
    r"\theta'_t": 1.5,
}


@pytest.mark.parametrize(
    "one, other",
    [
        (r"\hat m_{t}", r"\hat{m}_t"),
        (r"\hat{m_t}", r"\hat{m}_t"),
        (r"\widehat m_t", r"\hat{m}_t"),
        (r"m_{t - 1}", r"m_{t-1}"),
        (r"\theta_t'", r"\theta'_t"),
        (r"\theta^{\prime}_t", r"\theta'_t"),
        (r"v_t^{\max}", r"v^{\max}_t"),
        (r"v^\max_t", r"v^{\max}_t"),
        (r"\hat v_t^{\max}", r"\hat{v}^{\max}_t"),
        (r"T_\max", r"T_{\max}"),
        (r"\mathrm{denom}_{t}", r"\mathrm{denom}_t"),
    ],
)
def test_one_symbol_has_one_name(one, other):
    assert tex.symbol(one) == other


def test_different_symbols_have_different_names():
    written = r"m_t, m_{t-1}, \hat m_t, \bar m_t, m'_t, m''_t, m, m_{t+1}, m^{\max}_t, \mathrm{m}_t".split(", ")
    assert len({tex.symbol(one) for one in written}) == len(written)


@pytest.mark.parametrize(
    "formula, expected",
    [
        ("2.5 x", 5),
        ("x^2", 4),
        ("-x^2", -4),
        ("x - y - 1", 1.5),
        ("2 x y", -2),
        (r"2 \cdot x \times y \odot x", -4),
        (r"\frac12 x", 1),
        (r"\tfrac1{x}", 0.5),
        (r"\dfrac{x}{x + 2}", 0.5),
        (r"\frac\pi2", math.pi / 2),
        ("x/2 - 1", 0),
        (r"7 \bmod x", 1),
        ("10^{-8}", 1e-8),
        (r"3 \cdot 10^{-2}", 0.03),
        (r"\beta_1^t", 0.9**3),
        (r"\beta^t_1", 0.9**3),
        (r"\beta_1^{t-1}", 0.81),
        (r"1 - \beta_1^{t}", 1 - 0.9**3),
        ("g_t^2", 0.49),
        ("g^2_t", 0.49),
        ("{g'_t}^2", 0.36),
        ("g_t'^2", 0.36),
        (r"\left(v_t^{\max}\right)^{2}", 0.0016),
        (r"\frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}", 0.4 / (0.5 + 1e-8)),
        (r"\sqrt x", math.sqrt(2)),
        (r"\sqrt[3]{4x}", 2),
        (r"\lvert y \rvert + |y|x|y|", 1),
        (r"\left|y\right|^{2}", 0.25),
        (r"\left\lVert y \right\rVert + \|x\|", 2.5),
        (r"\max\left(x, y\right) + \min\{x, y, -1\}", 1),
        (r"\operatorname{sign}(y) + \operatorname{sgn}\left(x\right)", 0),
        (r"\exp(x) \ln x - \log\left(x\right) e^{0} + \cos\pi", math.log(2) * (math.exp(2) - 1) - 1),
        (r"\cos \pi t", -1),
        (r"\cos\frac{\pi t}{3} (x)", -2),
        (r"\left\lfloor \frac t2 \right\rfloor", 1),
        (r"\gamma_{\min} + \tfrac12 (\gamma_0 - \gamma_{\min}) \Bigl(1 + \cos\Bigl(\frac{\pi t}{T_{\max}}\Bigr)\Bigr)",
         0.1 + 0.2 * (1 + math.cos(0.3 * math.pi))),
        (r"\begin{cases} x & \text{if } t = 3 \\ y & \text{otherwise} \end{cases} + 1", 3),
        (r"\begin{cases} \sqrt{y} & \text{if } t \le 2 \land x > 0 \\ y & \text{otherwise} \end{cases}", -0.5),
        (r"\begin{cases} 1 & \text{if } x < 0 \land \left(t = 3 \lor x > 0\right) \\ 2"
         r" & \text{otherwise} \end{cases}", 2),
        (r"\begin{cases} 1 & \text{if } t = 3 \lor x > 0 \land x < 0 \\ 2 & \text{otherwise} \end{cases}", 1),
        (r"\begin{cases} 1 & \text{if } \lnot \left(t = 1\right) \lor x \ne x \\ 2 & \text{otherwise} \end{cases}", 1),
        (r"\begin{cases} 1 & \text{if } t < 1 \\ \begin{cases} 2 & \text{if } x \ge 2 \\ 3"
         r" & \text{otherwise} \end{cases} & \text{otherwise} \end{cases}", 2),
        (r"x \, \quad + \; y \! % a comment = 7", 1.5),
        (r"\mathrm{denom}_t", 4),
    ],
)  # fmt: skip
def test_value(formula, expected):
    assert tex.value(tex.expression(formula), POINT | {"e": math.e}) == pytest.approx(expected, rel=1e-14)


def test_several_equations_and_rows_that_go_on():
    found = tex.equations(
        r"""\begin{aligned}
        % adam.exp_avg
        m_t &= x + y \\
            &= 1.5 \\
        g_t &= x \\
            &\quad - y
        \end{aligned}"""
    )
    assert [tex.name(sides[0]) for sides in found] == ["m_t", "g_t"]
    assert [[tex.value(side, POINT) for side in rights] for _, *rights in found] == [[1.5, 1.5], [2.5]]


def test_a_name_before_a_parenthesis_is_a_function_only_where_told_so():
    formula = r"x \lambda(t + 1)"
    point = POINT | {r"\lambda": 10.0}
    assert tex.value(tex.expression(formula), point) == 80
    opaque = tex.expression(formula, frozenset({r"\lambda"}))
    assert tex.value(opaque, point | {r"\lambda": lambda t: t**2}) == 32


@pytest.mark.parametrize(
    "formula",
    [
        r"\sum_{i=1}^t \beta_1^{t-i} g_i",
        r"\nabla f(\theta)",
        r"m_t = m_{t-1} +",
        r"x \approx y",
        r"\text{learning rate}",
        r"\frac{x}",
        r"\mathbb{E}[g_t]",
        r"x = \begin{cases} 1 & t = 1 \end{cases}",
    ],
)
def test_what_it_cannot_read_is_an_error(formula):
    with pytest.raises(tex.TexError, match="cannot read"):
        tex.equations(formula)


@pytest.mark.parametrize("formula", [r"\sqrt{y}", r"\frac{x}{x - 2}", r"\log y", r"y^{\frac12}"])
def test_outside_of_the_real_numbers_is_an_error(formula):
    with pytest.raises((ValueError, ArithmeticError)):
        tex.value(tex.expression(formula), POINT)
