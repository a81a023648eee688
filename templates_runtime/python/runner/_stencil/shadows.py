"""Which submitted modules have the name of one that is loaded already, wherever they lie.

`sys.path` may be changed to have any folder in it, so every part of every path counts; and so does what is in an archive.
"""
import zipimport

from .protocol import content_of

ARCHIVE = b"PK\x05\x06"  # the end of a zip's central directory


def found(job, source, loaded):
    """Why the files of a job below `source` need a Python that has loaded nothing; None if they do not.

    `loaded`: the first parts of the names of modules that this Python has and others have not.
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
    except zipimport.ZipImportError:  # then nothing can be imported from it
        return []
