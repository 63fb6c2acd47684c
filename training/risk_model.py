"""The carrier risk model: a split that is honest about time, a fit, measures, and a report as one page of HTML."""

from datetime import timedelta
from html import escape

HORIZON_DAYS, LAG_DAYS = 90, 45
"""As the dbt project's vars say: what a label looks ahead, and how long it takes until nearly all fraud is reported."""
LABEL = "is_fraud_next_90d"
NOT_FEATURES = ("carrier_month_id", "carrier_id", "as_of_date", "is_label_mature", LABEL)


def split(rows, test_months: int):
    """Train on what was known when the first test month began, test on the last labelled months.

    A row's label is known only after its horizon and the time to report: rows whose label was not yet known on the first test
    day are in neither part. So the measure is what one would have got, and not what hindsight gives.

    :raises ValueError: there is too little to learn from, or nothing to measure
    """
    months = sorted(rows["as_of_date"].unique())
    if len(months) <= test_months:
        raise ValueError(f"{len(months)} labelled months are too few for {test_months} of test")
    first_test = months[-test_months]
    known = first_test - timedelta(days=HORIZON_DAYS + LAG_DAYS)
    train, test = rows[rows["as_of_date"] <= known], rows[rows["as_of_date"] >= first_test]
    facts = {
        "train_rows": len(train),
        "train_positives": int(train[LABEL].astype(bool).sum()),
        "train_until": str(known)[:10],
        "test_from": str(first_test)[:10],
        "test_rows": len(test),
        "test_positives": int(test[LABEL].astype(bool).sum()),
        "left_out": len(rows) - len(train) - len(test),
    }
    if not facts["train_positives"] or not facts["test_positives"]:
        raise ValueError(f"no fraud to learn from, or to find: {facts}")
    return train, test, facts


def features(rows):
    """The columns that a model may see, as numbers."""
    return rows[[name for name in rows.columns if name not in NOT_FEATURES]].astype("float64")


def fit(train):
    """A pipeline that takes the features as they come."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000),
    )
    return model.fit(features(train), train[LABEL].astype(bool))


def measure(model, test):
    """Average precision, area under the ROC curve, the share of fraud among the riskiest twentieth; and the curve."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

    truth, score = test[LABEL].astype(bool).to_numpy(), model.predict_proba(features(test))[:, 1]
    top = score.argsort()[::-1][: max(1, len(score) // 20)]
    metrics = {
        "average_precision": round(float(average_precision_score(truth, score)), 4),
        "roc_auc": round(float(roc_auc_score(truth, score)), 4),
        "found_in_top_5_percent": round(float(truth[top].sum() / truth.sum()), 4),
    }
    precision, recall, _ = precision_recall_curve(truth, score)
    return metrics, list(zip(recall.tolist(), precision.tolist(), strict=True))


def report(facts, metrics, live, curve, receipts) -> str:
    """One page, without scripts and without anything from elsewhere."""
    points = " ".join(f"{40 + 320 * recall:.1f},{210 - 190 * precision:.1f}" for recall, precision in curve)
    base = 210 - 190 * facts["test_positives"] / facts["test_rows"]
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{value}</td><td>{'' if live is None else live[name]}</td></tr>"
        for name, value in metrics.items()
    )
    said = "".join(f"<tr><th>{escape(name.replace('_', ' '))}</th><td>{value}</td></tr>" for name, value in facts.items())
    stands = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(table['run'])}</td><td>{escape(str(table['built']))}</td>"
        f"<td>{table['digest'][:12]}</td></tr>"
        for name, table in receipts.items()
    )
    return f"""<!doctype html><meta charset="utf-8"><title>Carrier risk model</title>
<style>body{{font:14px system-ui;margin:2em;max-width:50em}}th{{text-align:left;padding-right:2em;font-weight:500}}
td{{padding-right:2em}}h2{{font-size:16px;margin-top:1.6em}}</style>
<h1>Carrier risk model</h1>
<h2>On the test months</h2><table><tr><th></th><th>this model</th><th>live model</th></tr>{rows}</table>
<h2>Precision and recall</h2>
<svg viewBox="0 0 380 240" width="480" role="img" aria-label="precision over recall">
<path d="M40 20V210H360" fill="none" stroke="#888"/><path d="M40 {base:.1f}H360" stroke="#bbb" stroke-dasharray="4"/>
<polyline points="{points}" fill="none" stroke="#1f5fbf" stroke-width="2"/>
<text x="200" y="232" text-anchor="middle" font-size="11">recall</text><text x="8" y="16" font-size="11">precision</text></svg>
<h2>The split</h2><table>{said}</table>
<h2>What it stands on</h2><table>{stands}</table>
"""
