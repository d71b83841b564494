import numpy as np
import pytest

from fettle.data.readers import read
from fettle.errors import DataError
from fettle.spec import DatasetConfig

BOLT, NUT = ("bolt", 5, 4, 20, 15), ("nut", 1, 1, 40, 30)
BOMB = """<?xml version="1.0"?>
<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>
<annotation><filename>&c;</filename></annotation>"""
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation><filename>&a;</filename></annotation>'


def listed(source):
    return read(source, DatasetConfig(layout="voc"), task="detect")


def test_pixels_count_from_one_and_lines_are_known(make_voc, voc):
    source = make_voc({"a.xml": voc(BOLT, NUT), "b.xml": voc()}, ["a.png", "b.png"])
    listing = listed(source)
    assert [(item.path, item.extent) for item in listing.items] == [("a.png", (40, 30)), ("b.png", (40, 30))]
    assert listing.classes == ("bolt", "nut")
    np.testing.assert_array_equal(listing.objects.xyxy, [[4, 3, 20, 15], [0, 0, 40, 30]])
    text = (source / "a.xml").read_text().splitlines()
    assert ["<object>" in text[line - 1] for line in listing.objects.places] == [True, True]
    assert listing.objects.places[0] != listing.objects.places[1]


@pytest.mark.parametrize(
    ("page", "images", "found"),
    [
        ("Annotations/a.xml", ["JPEGImages/a.png"], "JPEGImages/a.png"),
        ("ANNOTATIONS/a.xml", ["IMAGES/a.png", "VAL_IMAGES/a.png"], "IMAGES/a.png"),
        ("VAL_ANNOTATIONS/a.xml", ["IMAGES/a.png", "VAL_IMAGES/a.png"], "VAL_IMAGES/a.png"),
        ("x/xmls/a.xml", ["x/images/a.png", "y/images/a.png"], "x/images/a.png"),
        ("x/a.xml", ["a.png", "x/a.png"], "x/a.png"),
        ("a.xml", ["a.png", "a.bmp"], "a.bmp"),  # as <filename> says
    ],
)
def test_image_is_found_beside_or_in_a_sibling_folder(make_voc, voc, page, images, found):
    listing = listed(make_voc({page: voc(BOLT, filename="a.bmp")}, images))
    assert [item.path for item in listing.items] == [found]


def test_file_name_inside_is_used_where_the_name_of_the_file_is_another(make_voc, voc):
    listing = listed(make_voc({"1.xml": voc(BOLT, filename="C:\\photos\\a.png")}, ["a.png"]))
    assert listing.items[0].path == "a.png"


def test_image_that_may_be_two_is_refused(make_voc, voc):
    with pytest.raises(DataError, match=r"'x/a.png' or 'y/a.png'"):
        listed(make_voc({"z/a.xml": voc(BOLT)}, ["x/a.png", "y/a.png"]))


def test_splits_of_image_sets(make_voc, voc):
    source = make_voc({f"Annotations/{n} 1.xml": voc(BOLT) for n in "abc"}, [f"JPEGImages/{n} 1.png" for n in "abc"])
    sets = source / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("a 1\n")
    (sets / "test.txt").write_text("b 1\n")
    (sets / "trainval.txt").write_text("a 1\nb 1\nc 1\n")
    listing = listed(source)
    assert {item.path: item.split for item in listing.items} == {
        "JPEGImages/a 1.png": "train", "JPEGImages/b 1.png": "test",
    }  # fmt: skip
    assert any("1 annotated images are in none of ImageSets/Main" in note for note in listing.notes)
    assert "ImageSets/Main/train.txt" in listing.files


def test_splits_of_folders(make_voc, voc):
    pages = {"ANNOTATIONS/a.xml": voc(BOLT), "VAL_ANNOTATIONS/b.xml": voc(BOLT), "test/c.xml": voc(BOLT)}
    listing = listed(make_voc(pages, ["IMAGES/a.png", "VAL_IMAGES/b.png", "test/c.png"]))
    assert [item.split for item in listing.items] == [None, "val", "test"]


@pytest.mark.parametrize("text", [BOMB, OUTSIDE])
def test_entities_are_refused_with_the_file(make_voc, voc, text):
    source = make_voc({"a.xml": voc(BOLT), "bomb.xml": text}, ["a.png", "bomb.png"])
    with pytest.raises(DataError, match=r"bomb\.xml declares entities"):
        listed(source)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("<annotation>\n<size>", "is not XML: line 2"), ("", "is not XML"), ("<html></html>", "root is <html>")],
)
def test_a_page_that_cannot_be_read_breaks_its_image(make_voc, voc, text, reason):
    listing = listed(make_voc({"a.xml": voc(BOLT), "b.xml": text}, ["a.png", "b.png"]))
    (broken,) = listing.broken
    assert broken.item.path == "b.png"
    assert reason in broken.reason
    assert broken.reason.startswith("b.xml")


@pytest.mark.parametrize(
    ("object_", "reason"),
    [
        (("", 1, 1, 5, 5), "no <name>"),
        (("bolt", "", 1, 5, 5), "no <bndbox><xmin>"),
        (("bolt", "five", 1, 5, 5), "could not convert"),
    ],
)
def test_an_object_that_is_not_whole_is_found_with_its_line(make_voc, voc, object_, reason):
    source = make_voc({"a.xml": voc(BOLT, object_)}, ["a.png"])
    (finding,) = listed(source).findings
    assert reason in finding.reason
    number = int(finding.place.removeprefix("line "))
    assert "<object>" in (source / "a.xml").read_text().splitlines()[number - 1]


def test_parts_of_objects_are_no_objects(make_voc, voc):
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
    listing = listed(make_voc({"a.xml": voc(BOLT).replace("</object>", part)}, ["a.png"]))
    assert listing.classes == ("bolt",)
    np.testing.assert_array_equal(listing.objects.xyxy, [[4, 3, 20, 15]])


def test_difficult_objects_and_bare_images_are_said(make_voc, voc):
    text = voc(BOLT, NUT).replace("<bndbox>", "<difficult>1</difficult><bndbox>", 1)
    listing = listed(make_voc({"a.xml": text}, ["a.png", "b.png"]))
    assert len(listing.objects) == 2
    assert any("1 objects are marked difficult" in note for note in listing.notes)
    assert any("1 images have no XML file" in note for note in listing.notes)


def test_size_of_zero_is_unknown(make_voc, voc):
    assert listed(make_voc({"a.xml": voc(BOLT, size=(0, 0))}, ["a.png"])).items[0].extent is None
