"""The words of the interface that the themes' own Chinese catalogues lack, or have otherwise."""

from gettext import NullTranslations

from sphinx.locale import translators

CHINESE = {
    "Back to top": "回到顶部",
    "By": "作者",
    "© Copyright %(copyright)s.": "© %(copyright)s",
    "Color mode": "明暗模式",
    "Copy to clipboard": "复制到剪贴板",
    "Download source file": "下载笔记本",
    "Download this page": "下载本页",
    "Error": "错误",
    "Fullscreen mode": "全屏",
    "Launch interactive content": "运行本页",
    "Launch on": "运行于",
    "light/dark": "明暗模式",
    "Link to this heading": "本节的链接",
    "Main": "全书目录",
    "next page": "下一页",
    "Open an issue": "报告问题",
    "Open issue": "报告问题",
    "open issue": "报告问题",
    "Page": "本页",
    "Please activate JavaScript to enable the search functionality.": "搜索需要启用 JavaScript。",
    "previous page": "上一页",
    "Print to PDF": "打印或存为 PDF",
    "Repository": "仓库",
    "Search": "搜索",
    "Skip to main content": "跳到正文",
    "Source repositories": "仓库",
    "Source repository": "源码仓库",
    "System Settings": "跟随系统",
    "Toggle primary sidebar": "显示或隐藏全书目录",
    "Toggle secondary sidebar": "显示或隐藏本页目录",
    "Version warning": "版本提示",
}
ENGLISH = {"light/dark": "Light or dark"}


class Words(NullTranslations):
    """Our words first, then the theme's."""

    def __init__(self, words, theirs):
        super().__init__()
        self.words = words
        self.add_fallback(theirs)

    def gettext(self, message):
        return self.words.get(message) or super().gettext(message)


def setup(app):
    app.connect("config-inited", complete)
    app.connect("html-page-context", name_folds)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def complete(app, config):
    """Before Sphinx hands its words to the templates."""
    words = CHINESE if config.language.startswith("zh") else ENGLISH
    for catalogue in ("sphinx", "booktheme"):
        translators["general", catalogue] = Words(words, translators.get(("general", catalogue)) or NullTranslations())
    app.translator = translators["general", "sphinx"]


def name_folds(app, pagename, templatename, context, doctree):
    """A folded cell is called by its own words, "show code", which MyST-NB covers with a label in English."""
    if "body" in context:
        context["body"] = context["body"].replace('<summary aria-label="Toggle hidden content">', "<summary>")
