"""Who may register what: the 82 cases of the Public Suffix List, as data.

Four of them begin with a dot, four are about ``local``, which the list no longer names, and one is about no domain.
"""

REGISTRABLE: dict[str, list[str]] = {
    "example.com": ["example.COM", "WwW.example.COM", "example.com", "b.example.com", "a.b.example.com"],
    "example.example": ["example.example", "b.example.example", "a.b.example.example"],
    "domain.biz": ["domain.biz", "b.domain.biz", "a.b.domain.biz"],
    "example.uk.com": ["example.uk.com", "b.example.uk.com", "a.b.example.uk.com"],
    "test.ac": ["test.ac"],
    "b.c.mm": ["b.c.mm", "a.b.c.mm"],
    "test.jp": ["test.jp", "www.test.jp"],
    "test.ac.jp": ["test.ac.jp", "www.test.ac.jp"],
    "test.kyoto.jp": ["test.kyoto.jp"],
    "b.ide.kyoto.jp": ["b.ide.kyoto.jp", "a.b.ide.kyoto.jp"],
    "b.c.kobe.jp": ["b.c.kobe.jp", "a.b.c.kobe.jp"],
    "city.kobe.jp": ["city.kobe.jp", "www.city.kobe.jp"],
    "b.test.ck": ["b.test.ck", "a.b.test.ck"],
    "www.ck": ["www.ck", "www.www.ck"],
    "test.us": ["test.us", "www.test.us"],
    "test.ak.us": ["test.ak.us", "www.test.ak.us"],
    "test.k12.ak.us": ["test.k12.ak.us", "www.test.k12.ak.us"],
    "食狮.com.cn": ["食狮.com.cn"],
    "食狮.公司.cn": ["食狮.公司.cn", "www.食狮.公司.cn"],
    "shishi.公司.cn": ["shishi.公司.cn"],
    "食狮.中国": ["食狮.中国", "www.食狮.中国"],
    "shishi.中国": ["shishi.中国"],
    "xn--85x722f.com.cn": ["xn--85x722f.com.cn"],
    "xn--85x722f.xn--55qx5d.cn": ["xn--85x722f.xn--55qx5d.cn", "www.xn--85x722f.xn--55qx5d.cn"],
    "shishi.xn--55qx5d.cn": ["shishi.xn--55qx5d.cn"],
    "xn--85x722f.xn--fiqs8s": ["xn--85x722f.xn--fiqs8s", "www.xn--85x722f.xn--fiqs8s"],
    "shishi.xn--fiqs8s": ["shishi.xn--fiqs8s"],
}
"""A registrable domain, and which domains belong to it."""

PUBLIC = [
    "COM",
    "example",
    "biz",
    "com",
    "uk.com",
    "mm",
    "c.mm",
    "jp",
    "ac.jp",
    "kyoto.jp",
    "ide.kyoto.jp",
    "c.kobe.jp",
    "ck",
    "test.ck",
    "us",
    "ak.us",
    "k12.ak.us",
    "公司.cn",
    "中国",
    "xn--55qx5d.cn",
    "xn--fiqs8s",
]
"""Domains that belong to nobody in particular."""

WITH_A_DOT = [".com", ".example", ".example.com", ".example.example"]
"""What is no host: also nobody's."""

UNLISTED = ["local", "example.local", "b.example.local", "a.b.example.local"]
"""Nobody's in the days when the list named ``local``; today a top-level name like any unknown."""
