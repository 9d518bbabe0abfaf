"""postern-protocol(7) has each field of the interfaces, with its type, and no other."""

import re

from manuals import interfaces, section, source

PAGE = "postern-protocol.7"


def declared_fields(text):
    """(name, type) of each, in a list of a .varlink file."""
    return set(re.findall(r"(\w+): ([?\[\]\w]+)", re.sub(r"#.*", "", text)))


def declared():
    """(type, method or error, which of its lists) -> its fields."""
    found = {}
    for interface, text in interfaces().items():
        text = re.sub(r"#.*", "", text)
        for name, fields in re.findall(r"^type (\w+) \((.*?)\)", text, re.M | re.S):
            found[f"{interface}.{name}", ""] = declared_fields(fields)
        for name, asked, answered in re.findall(r"^method (\w+)\((.*?)\) -> \((.*?)\)", text, re.M | re.S):
            found[f"{interface}.{name}", "Parameters"] = declared_fields(asked)
            found[f"{interface}.{name}", "Reply"] = declared_fields(answered)
    return {whose: fields for whose, fields in found.items() if fields}


def shown_fields(text):
    """(name, type) of each that a tag names; a type is that of all names before it which have none yet."""
    found = set()
    for tag in re.findall(r"^\.T[PQ]\n\.BR (.*)", text, re.M):
        names = []
        for word in re.findall(r"[?\[\]\w]+", tag.replace('"', "")):
            if re.fullmatch(r"\??(\[\])?(string|int|bool|object|[A-Z]\w*)", word):
                found |= {(name, word) for name in names}
                names = []
            else:
                names.append(word)
        assert names == [], tag
    return found


def shown():
    found = {}
    for part in section(PAGE, "FIELDS").split("\n.SS ")[1:]:
        heading, _, text = part.partition("\n")
        lists = re.split(r"^(Parameters|Reply):\n", text, flags=re.M)
        for kind, fields in [("", lists[0]), *zip(lists[1::2], lists[2::2])]:
            for name in heading.split(", "):
                if these := shown_fields(fields):
                    found[name, kind] = these
    return found


def test_every_field():
    assert sum(map(len, declared().values())) > 150
    assert shown() == declared()


def test_every_field_of_an_error():
    expected, known = {}, set()
    for text in interfaces().values():
        for name, fields in re.findall(r"^error (\w+) \((.*?)\)", text, re.M):
            known.add(name)
            expected[name] = declared_fields(fields) - {("message", "string")}
            # The page says once that Postern's own have a message.
            assert ("message: string" in fields) == ("org.varlink.service" not in text.split("\n", 2)[1]), name
    found = {}
    lists = section(PAGE, "ERRORS").partition("Their parameters")[2].partition("does not reveal")[0]
    for item in lists.split("\n.TP\n")[1:]:
        item = item.partition("\n.PP\n")[0]
        for name in known & set(re.findall(r"\w+", item.partition("\n")[2])):
            found[name] = found.get(name, set()) | shown_fields(f".TP\n{item}")
    assert found == {name: fields for name, fields in expected.items() if fields}
    assert ("also have\n", ".BR message") == tuple(re.search(r"(also have\n)(\.BR message)", source(PAGE)).groups())
