"""Writes fused.json, the Grafana dashboard, to standard output."""

import json

SOURCE = {"type": "prometheus", "uid": "${source}"}
RATE = "[$__rate_interval]"
WIDTH, HEIGHT = 12, 8


def panel(place, title, targets, unit="short", kind="timeseries"):
    """One panel; targets are pairs of an expression and a legend."""
    return {
        "id": place + 1,
        "type": kind,
        "title": title,
        "datasource": SOURCE,
        "gridPos": {
            "x": place % 2 * WIDTH,
            "y": place // 2 * HEIGHT,
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + i),
                "datasource": SOURCE,
                "expr": expr,
                "legendFormat": legend,
            }
            for i, (expr, legend) in enumerate(targets)
        ],
    }


def quantile(part):
    return (
        f"histogram_quantile({part}, sum by (opcode, le) (rate("
        f"fused_request_duration_seconds_bucket{{volume=~\"$volume\"}}{RATE})))"
    )


def rate(name, by, labels='volume=~"$volume"'):
    chosen = "{" + labels + "}" if labels else ""
    return f"sum by ({by}) (rate({name}{chosen}{RATE}))"


PANELS = [
    ("Requests by opcode", [(rate("fused_requests_total", "opcode"), "{{opcode}}")], "reqps"),
    (
        "Requests that failed, by result",
        [(rate("fused_requests_total", "result", 'volume=~"$volume",result!="OK"'), "{{result}}")],
        "reqps",
    ),
    ("Latency, median", [(quantile(0.5), "{{opcode}}")], "s"),
    ("Latency, 99 of 100", [(quantile(0.99), "{{opcode}}")], "s"),
    ("Opens by how they are served", [(rate("fused_opens_total", "io"), "{{io}}")], "ops"),
    (
        "Why not on passthrough",
        [(rate("fused_passthrough_fallbacks_total", "reason"), "{{reason}}")],
        "ops",
    ),
    (
        "Denied, by rule",
        [(rate("fused_decisions_total", "rule", 'verdict="DENY"'), "{{rule}}")],
        "ops",
    ),
    (
        "Denied, by app",
        [
            (
                "topk(10, "
                + rate("fused_app_decisions_total", "uid, package", 'verdict="DENY"')
                + ")",
                "{{uid}} {{package}}",
            )
        ],
        "ops",
    ),
    (
        "Requests by app",
        [("topk(10, " + rate("fused_app_requests_total", "uid, package", "") + ")", "{{uid}} {{package}}")],
        "reqps",
    ),
    (
        "The daemon's time by app",
        [
            (
                "topk(10, " + rate("fused_app_busy_seconds_total", "uid, package", "") + ")",
                "{{uid}} {{package}}",
            )
        ],
        "percentunit",
    ),
    (
        "What is held",
        [
            (f"sum(fused_{name}{{volume=~\"$volume\"}})", legend)
            for name, legend in [
                ("handles", "handles"),
                ("nodes", "nodes"),
                ("backing_ids", "backing ids"),
                ("descriptors", "descriptors"),
                ("views", "app views"),
            ]
        ],
        "short",
    ),
    (
        "Invalidations",
        [
            (rate("fused_invalidations_total", "kind", ""), "{{kind}}"),
            ("fused_invalidation_queue_length", "waiting"),
            (f"rate(fused_invalidation_overflows_total{RATE})", "overflows"),
        ],
        "short",
    ),
    (
        "Policy",
        [
            ("fused_policy_version", "policy"),
            ("fused_apps_version", "app directory"),
            ("fused_epoch", "epoch"),
            (f'increase(fused_pushes_total{{result="refused"}}{RATE})', "{{kind}} refused"),
        ],
        "short",
    ),
    (
        "Audit log",
        [
            (f"rate(fused_audit_records_total{RATE})", "records"),
            (rate("fused_audit_dropped_total", "reason", ""), "dropped: {{reason}}"),
            (f"rate(fused_control_refused_total{RATE})", "control requests refused"),
        ],
        "short",
    ),
    (
        "Processors",
        [(rate("fused_cpu_seconds_total", "mode", ""), "{{mode}}")],
        "percentunit",
    ),
    (
        "Threads",
        [
            ("fused_threads", "threads"),
            ("fused_threads_stuck", "stuck in the lower file system"),
            ("fused_requests_parked", "requests that wait"),
            (f"rate(fused_requests_expired_total{RATE})", "expired"),
            (f"rate(fused_requests_refused_total{RATE})", "refused"),
            (f"rate(fused_connections_aborted_total{RATE})", "connections aborted"),
        ],
        "short",
    ),
    (
        "Shadow rules would differ",
        [
            (rate("fused_shadow_decisions_total", "result", ""), "{{result}}"),
            (
                rate("fused_shadow_differences_total", "shadow_rule, shadow", ""),
                "{{shadow_rule}}: {{shadow}}",
            ),
        ],
        "ops",
    ),
    (
        "Changes of rules, by view",
        [(rate("fused_views_of_changes_total", "result", ""), "{{result}}")],
        "short",
    ),
    (
        "Media index",
        [
            ("fused_media_pending_writes{volume=~\"$volume\"}", "writes that wait"),
            ("fused_media_ready{volume=~\"$volume\"}", "ready"),
            (f"rate(fused_unanswered_total{{volume=~\"$volume\"}}{RATE})", "unanswered requests"),
        ],
        "short",
    ),
]

DASHBOARD = {
    "uid": "fused",
    "title": "fused",
    "tags": ["fuse", "storage"],
    "timezone": "browser",
    "schemaVersion": 39,
    "refresh": "15s",
    "time": {"from": "now-1h", "to": "now"},
    "templating": {
        "list": [
            {"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"},
            {
                "name": "volume",
                "label": "Volume",
                "type": "query",
                "datasource": SOURCE,
                "query": {"query": "label_values(fused_requests_total, volume)", "refId": "volume"},
                "refresh": 2,
                "includeAll": True,
                "multi": True,
                "current": {"text": "All", "value": "$__all"},
            },
        ]
    },
    "panels": [
        panel(i, title, targets, unit) for i, (title, targets, unit) in enumerate(PANELS)
    ],
}

if __name__ == "__main__":
    print(json.dumps(DASHBOARD, indent=2))
