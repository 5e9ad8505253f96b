"""Requirements of the Cell Annotation Schema 1.1.0: its core with the BICAN and the CAP extension.

Written from its definitions (https://github.com/cellannotation/cell-annotation-schema): names, types, limits
and required fields. The schema's own files are not here, since its repository has no license file
and its package names two licenses.
"""

from typing import Any

TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
BOOLEAN = {"type": "boolean"}
LIMITED = {"type": "string", "maxLength": 2000}

CORE_ANNOTATION = {
    **dict.fromkeys(
        ["labelset", "cell_label", "cell_fullname", "cell_ontology_term_id", "cell_ontology_term"], TEXT
    ),
    **dict.fromkeys(["cell_ids", "rationale_dois", "marker_gene_evidence", "synonyms"], TEXTS),
    "rationale": LIMITED,
    "reviews": {"type": "array"},
    "author_annotation_fields": {"type": "object"},
}
TRANSFER = {
    "properties": dict.fromkeys(
        ["transferred_cell_label", "source_taxonomy", "source_node_accession", "algorithm_name", "comment"],
        TEXT,
    )
}
CELL = {
    "type": "object",
    "required": ["cell_id"],
    "additionalProperties": False,
    "properties": {"cell_id": TEXT, "confidence": {"type": "number"}, "author_categories": {"type": "array"}},
}
BICAN_ANNOTATION = {
    **dict.fromkeys(["cell_set_accession", "parent_cell_set_accession", "neurotransmitter_accession"], TEXT),
    **dict.fromkeys(["negative_marker_gene_evidence", "neurotransmitter_marker_gene_evidence"], TEXTS),
    "neurotransmitter_rationale": LIMITED,
    "transferred_annotations": {"type": "array", "items": TRANSFER},
    "cells": {"type": "array", "items": CELL},
}
CAP_ANNOTATION = {
    "canonical_marker_genes": TEXTS,
    **dict.fromkeys(["cell_ontology_exists", "category_cell_ontology_exists"], BOOLEAN),
    **dict.fromkeys(
        [
            "category_fullname",
            "category_cell_ontology_term_id",
            "category_cell_ontology_term",
            "cell_ontology_assessment",
        ],
        TEXT,
    ),
}
LABEL_SET = {
    "required": ["name"],
    "properties": {
        "name": TEXT,
        "description": TEXT,
        "annotation_method": {"enum": ["algorithmic", "manual", "both"]},
        "automated_annotation": {
            "type": "object",
            "required": ["algorithm_name", "algorithm_version", "algorithm_repo_url"],
        },
        "rank": {"type": "integer"},
    },
}
HEAD = dict.fromkeys(
    [
        "matrix_file_id",
        "description",
        "cellannotation_schema_version",
        "cellannotation_timestamp",
        "cellannotation_version",
        "cellannotation_url",
        "author_list",
        "author_name",
        "author_contact",
        "orcid",
    ],
    TEXT,
)
REQUIRED = ["author_name", "title", "annotations", "labelsets"]
PUBLISHED = [f"cellannotation_{name}" for name in ("schema_version", "timestamp", "version", "url")]
"""Further fields that CAP requires; authors have them at publication."""


def _schema(annotation: dict[str, Any], *, required: list[str], closed: bool) -> dict[str, Any]:
    each = {"type": "object", "required": ["labelset", "cell_label"], "properties": annotation}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "required": required,
        "properties": HEAD
        | {
            # The field's description gives the length.
            "title": {"type": "string", "maxLength": 200},
            "labelsets": {"type": "array", "items": LABEL_SET},
            "annotations": {
                "type": "array",
                "items": each | ({"additionalProperties": False} if closed else {}),
            },
        },
    }


BICAN = _schema(CORE_ANNOTATION | BICAN_ANNOTATION, required=REQUIRED, closed=True)
CAP = _schema(CORE_ANNOTATION | CAP_ANNOTATION, required=REQUIRED + PUBLISHED, closed=False)
