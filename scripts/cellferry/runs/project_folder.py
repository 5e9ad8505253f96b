"""The package's folder: beside the rules, or a copy from their git repository.

Snakemake fetches the Snakefile, its rules and scripts one by one from a repository (`gitfile`, `github`,
`gitlab`), but not the package. Snakemake's source cache holds one copy of the package per state of the
project, from the same commit.

Run by rules/common.smk before the package can be imported, so it imports nothing of the package.
"""

import os
import posixpath
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from snakemake.sourcecache import HostingProviderFile, LocalGitFile, LocalSourceFile, SourceFile

FOLDER = "CELLFERRY_PROJECT"
"""Environment variable: the copy that the main process made; jobs inherit it, on a cluster too."""

NEEDED = ("config", "envs", "scripts", "pyproject.toml", "requirements.txt")
"""Files that the package reads; Snakemake itself fetches the rest."""


def project_folder(workflow: Any) -> Path:
    """The project's folder, for a file in its folder `rules`.

    Parameters
    ----------
    workflow
        Snakemake's workflow, while it reads that file.
    """
    rules = workflow.current_basedir
    if isinstance(rules, LocalSourceFile):
        return Path(rules).parent
    if isinstance(rules, LocalGitFile):
        _join_source_files()
    inherited = os.environ.get(FOLDER)
    # A branch may have changed since; a node may not share the cache.
    if not workflow.is_main_process and inherited and Path(inherited).is_dir():
        folder = Path(inherited)
    else:
        folder = _copied(rules, Path(workflow.sourcecache.cache_path, "cellferry"))
        os.environ[FOLDER] = str(folder)
    # Scripts import from the same folders as the snakemake that starts them.
    if (scripts := str(folder / "scripts")) not in sys.path:
        sys.path.append(scripts)
    return folder


def _join_source_files() -> None:
    """Let a folder of `gitfile` be joined with source files, as Snakemake's other sources can.

    Without it, Snakemake 9.27 fails to compare the times of scripts and outputs (the rerun trigger `code`).
    """
    join = LocalGitFile.join
    if getattr(join, "takes_source_files", False):
        return

    def join_any(self: LocalGitFile, path: str | SourceFile) -> LocalGitFile:
        return join(self, path.get_path_or_uri(secret_free=False) if isinstance(path, SourceFile) else path)

    join_any.takes_source_files = True
    LocalGitFile.join = join_any


def _copied(rules: Any, cache: Path) -> Path:
    """The copy of a project, made if missing, for its rules in a git repository."""
    if isinstance(rules, LocalGitFile):
        import git  # Snakemake needs it too

        repository = git.Repo(rules.repo_path)
    elif isinstance(rules, HostingProviderFile):
        repository = rules.hosted_repo.repo
    else:
        sys.exit(
            f"error: {rules} is not in a git repository, which cellferry's package is copied from; name the "
            "Snakefile by gitfile(), github() or gitlab(), or by the path of a clone"
        )
    tree = repository.commit(rules.ref).tree
    inside = posixpath.normpath(posixpath.join(rules.path, ".."))
    if inside != ".":
        tree /= inside
    copy = cache / tree.hexsha
    listing = ("-r", "--full-tree", "--name-only", tree.hexsha, "--", *NEEDED)
    names = repository.git.ls_tree(*listing).splitlines()
    if copy.exists() and not all((copy / name).exists() for name in names):
        shutil.rmtree(copy)  # some sites delete old files of caches
    if not copy.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=cache))
        try:
            with tempfile.TemporaryFile(dir=cache) as archive:
                repository.archive(archive, treeish=tree.hexsha, path=NEEDED)
                archive.seek(0)
                with tarfile.open(fileobj=archive) as opened:
                    opened.extractall(unfinished, filter="data")
            unfinished.rename(copy)
        except OSError:
            if not copy.exists():  # another process was not faster
                raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return copy
