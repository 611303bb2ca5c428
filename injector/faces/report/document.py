"""The report as JSON: docs/report.md says what each field means; `report` is its version."""

from __future__ import annotations

from typing import Any

from injector.campaigns.report import Finding, Report, Run

VERSION = 1


def document(report: Report) -> dict[str, Any]:
    """Return the whole report as JSON has it."""
    campaign = report.campaign
    return {
        "report": VERSION,
        "command": list(campaign.command),
        "made": campaign.made,
        "version": campaign.version,
        "options": campaign.options,
        "databases": [
            {
                "path": str(one.path),
                "shard": one.shard,
                "missing": one.missing,
            }
            for one in report.sources
        ],
        "complete": not report.missing and not report.shards_missing,
        "missing": report.missing,
        "shards_missing": list(report.shards_missing),
        "points": len(report.points),
        "kinds": report.kinds,
        "seconds": round(report.seconds, 6),
        "verdicts": report.verdicts,
        "findings": [_finding(one) for one in report.findings],
        "runs": [_run(report, run) for run in report.runs],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    run, point = finding.run, finding.point
    return {
        "fingerprint": finding.fingerprint,
        "verdict": finding.verdict,
        "title": finding.title,
        "runs": finding.runs,
        "flaky": finding.flaky,
        "command": finding.command,
        "run": run.key if run else None,
        "args": point.args if point else None,
        "path": point.path if point else None,
        "stack": list(point.stack) if point else [],
        "output": {name: run.output(name) if run else "" for name in ("stdout", "stderr", "check")},
    }


def _run(report: Report, run: Run) -> dict[str, Any]:
    return {
        "key": run.key,
        "site": run.site,
        "syscall": run.syscall,
        "fault": run.fault,
        "mode": run.mode,
        "kind": run.kind,
        "rules": list(run.rules),
        "verdict": run.verdict,
        "fingerprint": run.fingerprint or None,
        "status": run.status,
        "signal": run.signal,
        "seconds": run.seconds,
        "detail": run.detail,
        "command": report.repeat(run),
    }
