"""A job document for the real worker that needs no network."""

import json


def rehearsal(directory: str) -> bytes:
    """A job of two seconds."""
    scenario = 'duration_s = 2\n\n[[participants]]\nuser_id = "ann"\nname = "Ann"\n'
    return json.dumps(
        {
            "room": {"kind": "rehearsal", "scenario": scenario},
            "mix_param": {
                "room_id": "demo",
                "encode_template": "1280x720_30_1710",
                "max_idle_time": 5,
                "layout_template": "nine_grids_view",
            },
            "output": {"directory": directory},
            "max_duration_s": 2,
        }
    ).encode()
