"""The comparison with documentation finds its examples, and what the sandbox's answers lack."""

from __future__ import annotations

import documented
import pytest

PAGE = """
```text
curl -X POST -H "Authorization: Key YOUR_KEY" \\
  -d '{"inputs": [{"data": {"image": {"url": "https://samples.clarifai.com/a-dog.jpg"}}}]}' \\
  https://api.clarifai.com/v2/models/{THE_MODEL_ID}/outputs
```

```javascript
{
  "status": {"code": 10000, "description": "Ok"},
  "outputs": [{"id": "x", "data": {"concepts": [{"name": "dog", "value": 0.9}, ...]}%s}]
}
```
"""
OUTPUT = """
id: "x"
model { id: "GPT-4" user_id: "openai" app_id: "chat-completion" }
input { data { text { raw: "a dog" } } }
data { text { raw: "a dog" } }
"""


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", {}),
        (', "name_of_old": 1', {"gone": 1}),
        (', "input": {"data": {"video": {}}}, "created_at": 5', {"missing": 1, "other type": 1}),
    ],
)
def test_what_differs_is_told(tmp_path, capsys, more, told):
    (tmp_path / "page.md").write_text(PAGE % more)
    differing = documented.main([str(tmp_path)])
    shown = capsys.readouterr().out.splitlines()
    assert "page.md: POST /v2/models/{THE_MODEL_ID}/outputs → 10000" in shown
    assert shown[-1] == f"1 examples, 1 with a request; {differing} differ: {told}"
    assert bool(differing) is ("missing" in told)


def test_a_request_is_read_from_a_file_or_from_the_answer_itself(tmp_path, capsys):
    (tmp_path / "of_a_model.js").write_text(OUTPUT)
    (tmp_path / "listed.txt").write_text('{"status": {"code": 10000}, "apps": [{"id": "a"}]}')
    (tmp_path / "listed.sh").write_text("curl 'https://api.clarifai.com/v2/users/me/apps'")
    (tmp_path / "alone.json").write_text('{"status": {"code": 10000}, "apps": []}')
    (tmp_path / "prose.txt").write_text("Completion: a dog")
    assert documented.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "listed.txt: GET /v2/users/me/apps → 10000",
        "of_a_model.js: POST /v2/users/openai/apps/chat-completion/models/GPT-4/outputs → 10000",
        "3 examples, 2 with a request; 0 differ: {}",
    ]
