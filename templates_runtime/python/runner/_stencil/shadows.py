"""Find submitted modules that have the name of a preloaded module, in any folder.

A program can add any folder to `sys.path`, so every part of every path is compared, also inside archives.
"""
import zipimport

from .protocol import content_of

ARCHIVE = b"PK\x05\x06"  # the end of a zip's central directory


def found(job, source, loaded):
    """Return the reason why the submitted files below `source` need a new interpreter; None if they do not.

    `loaded`: the top-level names of the modules that only the preloading of this interpreter has loaded.
    """
    archives = [file["path"] for file in job["files"] if ARCHIVE in content_of(file)]
    if job["mode"] == "run" and job["entry"] in archives:
        return f"{job['entry'][:200]} is an archive"
    paths = [file["path"] for file in job["files"]]
    for archive in archives:
        paths += _inside(f"{source}/{archive}")
    brought = {part.partition(".")[0] for path in paths for part in path.split("/")}
    names = sorted(brought & loaded)
    return f"a preloaded module has the name of a submitted one: {', '.join(names)[:200]}" if names else None


def _inside(archive):
    try:
        return list(zipimport._read_directory(archive))
    except zipimport.ZipImportError:  # no module can be imported from such a file
        return []
