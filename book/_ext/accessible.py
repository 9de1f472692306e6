"""What the writers of pages leave out, for readers who listen: whose heads a table's are."""


def setup(app):
    app.connect("html-page-context", complete)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def complete(app, page, template, context, doctree):
    if "body" in context:
        body = context["body"].replace('<th scope="col"></th>', "<td></td>")  # a corner that heads nothing
        context["body"] = body.replace('<th class="head">', '<th scope="col" class="head">')
