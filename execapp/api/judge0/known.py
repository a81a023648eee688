"""What Judge0's clients ask for besides submissions: statuses, languages, configuration."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings

from execapp.api import languages
from execapp.api.languages import Language

VERSION = "1.14.0"
FINISHED = "judge0.finished"  # the event of callbacks
MAX_BATCH = 20
MOST_CHARACTERS = 512  # of command_line_arguments
CPU_SECONDS, WALL_SECONDS, EXTRA_SECONDS = 5.0, 10.0, 1.0
MAX_EXTRA_SECONDS = 5.0
LEAST_MEMORY_KB = 16 * 1024
FILE_KB = 64 * 1024  # the sandbox's own limit of one file, which a client cannot change
STACK_KB = 8 * 1024  # Linux' own
EXTRACT_KB = 10 * 1024

STATUSES = {
    1: "In Queue",
    2: "Processing",
    3: "Accepted",
    4: "Wrong Answer",
    5: "Time Limit Exceeded",
    6: "Compilation Error",
    7: "Runtime Error (SIGSEGV)",
    8: "Runtime Error (SIGXFSZ)",
    9: "Runtime Error (SIGFPE)",
    10: "Runtime Error (SIGABRT)",
    11: "Runtime Error (NZEC)",
    12: "Runtime Error (Other)",
    13: "Internal Error",
    14: "Exec Format Error",
}


@dataclass(frozen=True, kw_only=True)
class Numbered:
    """A language under one of Judge0's numbers."""

    id: int
    language: Language

    @property
    def name(self) -> str:
        """Return the name as Judge0 writes it."""
        node = self.language.runtime == "node" and self.language.name == "javascript"
        inner = f"Node.js {self.language.version}" if node else self.language.version
        return f"{self.language.title} ({inner})"


def numbered() -> list[Numbered]:
    """Return the languages of the setting whose template is healthy, by number. One query."""
    known = {language.name: language for language in languages.current()}
    return [
        Numbered(id=number, language=known[name])
        for number, name in sorted(settings.STENCIL_JUDGE0_LANGUAGES.items())
        if name in known
    ]


def config_info() -> dict[str, Any]:
    """Return the configuration: what this door accepts. The highest limits hold for each template
    as far as its definition allows them.
    """
    processes = 64
    return {
        "maintenance_mode": False,
        "enable_wait_result": True,
        "enable_compiler_options": False,
        "allowed_languages_for_compile_options": [],
        "enable_command_line_arguments": True,
        "enable_submission_delete": False,
        "enable_callbacks": True,
        "callbacks_max_tries": 1 + len(settings.STENCIL_CALLBACK_RETRY_SECONDS),
        "callbacks_timeout": float(settings.STENCIL_CALLBACK_SECONDS),
        "enable_additional_files": True,
        "max_queue_size": settings.STENCIL_QUEUE_LIMIT,
        "cpu_time_limit": CPU_SECONDS,
        "max_cpu_time_limit": settings.STENCIL_CEILING_CPU_MS / 1000,
        "cpu_extra_time": EXTRA_SECONDS,
        "max_cpu_extra_time": MAX_EXTRA_SECONDS,
        "wall_time_limit": WALL_SECONDS,
        "max_wall_time_limit": settings.STENCIL_CEILING_WALL_MS / 1000,
        "memory_limit": 512 * 1024,
        "max_memory_limit": settings.STENCIL_CEILING_MEMORY_BYTES // 1024,
        "stack_limit": STACK_KB,
        "max_stack_limit": STACK_KB,
        "max_processes_and_or_threads": processes,
        "max_max_processes_and_or_threads": settings.STENCIL_CEILING_PROCESSES,
        "enable_per_process_and_thread_time_limit": False,
        "allow_enable_per_process_and_thread_time_limit": False,
        "enable_per_process_and_thread_memory_limit": False,
        "allow_enable_per_process_and_thread_memory_limit": False,
        "max_file_size": FILE_KB,
        "max_max_file_size": FILE_KB,
        "number_of_runs": 1,
        "max_number_of_runs": 1,
        "redirect_stderr_to_stdout": False,
        "max_extract_size": EXTRACT_KB,
        "enable_batched_submissions": True,
        "max_submission_batch_size": MAX_BATCH,
        "submission_cache_duration": 0.0,
        "use_docs_as_homepage": False,
        "allow_enable_network": False,
        "enable_network": False,
        "disable_implicit_base64_encoding": True,
    }
