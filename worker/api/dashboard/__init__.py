"""The dashboard: an account's jobs in a browser, watched, stopped and laid out anew.

routes     pages and what they ask for
sessions   who has logged in
told       jobs as the pages get them (pure)
page/      HTML, style and modules, served as they are
"""
