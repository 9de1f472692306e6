"""The words of the interface that the themes' own Chinese catalogues lack."""

from gettext import NullTranslations

from sphinx.locale import translators

CHINESE = {
    "© Copyright %(copyright)s.": "© %(copyright)s",
    "Color mode": "明暗模式",
    "Launch interactive content": "运行本页",
    "Launch on": "运行于",
    "Open issue": "报告问题",
    "Repository": "仓库",
    "Source repositories": "仓库",
    "System Settings": "跟随系统",
}


class Chinese(NullTranslations):
    def gettext(self, message):
        return CHINESE.get(message, message)


def setup(app):
    app.connect("builder-inited", complete)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def complete(app):
    if app.config.language.startswith("zh"):
        for catalogue in ("sphinx", "booktheme"):
            translators["general", catalogue].add_fallback(Chinese())
