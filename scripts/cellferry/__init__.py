"""The package behind the rules' scripts. Imports run from the top to the bottom of this map only.

| package                            | contents                                                           |
| ---------------------------------- | ------------------------------------------------------------------ |
| commands                           | `make new`, `make doctor`, `make pack` and others                  |
| datasets                           | the user's files as one dataset: annotation, filters, raw counts   |
| model                              | scvi-tools models, the only users of torch: training, surgery      |
| calibration, evaluation            | from probabilities to a label; labels against the truth            |
| heads                              | classifiers on latents or expression                               |
| mapping                            | from counts to latents, by a model's encoder as plain arrays       |
| formats, report                    | readers of every file format; the page and its figures             |
| sampling                           | references as one, splits, sketches                                |
| features                           | genes and markers: ids, selection, subsets                         |
| resources                          | memory, time and GPU of each rule's job; the plan                  |
| artifacts                          | files that pass between rules                                      |
| config                             | the configuration: schema, defaults, problems                      |
| references                         | packed references: the file, its registry and cache                |
| cytometry                          | channels, panels, transformed intensities, FCS                     |
| labels, cluster                    | names and hierarchies of labels; SLURM                             |
| runs                               | provenance of results, the start of a run                          |
| core, errors                       | atomic files, text, logs, progress; exceptions                     |

The Snakefile imports config, cluster, runs and core, which need Python, yaml and jsonschema only.
"""

import os

# Read by OpenMP when torch or XGBoost is loaded, so it must be set before: on a node shared with other
# jobs, threads that spin while they wait made training several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Read by HDF5 when h5py is imported: a file's external values are read from the file's own folder, and not
# from the folder that a job runs in.
os.environ["HDF5_EXTFILE_PREFIX"] = "${ORIGIN}"
