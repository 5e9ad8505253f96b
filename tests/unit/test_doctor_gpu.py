"""`make doctor`: driver and torch of this machine, and of a node of the GPU partition."""

import json
import os

import pytest
from cellferry.commands.doctor import gpu
from machines import PROFILE, failing, profile_with, worst

SMI = """case "$1" in
--query*) echo NVIDIA A100-SXM4-80GB ;;
*) echo '| NVIDIA-SMI 535.1   Driver Version: 535.161.08   CUDA Version: {cuda}     |' ;;
esac"""


@pytest.fixture
def node(monkeypatch, programs, tmp_path):
    """Function that sets the driver and the torch of this machine."""

    def make(*, cuda="12.2", torch="2.10.0", built="12.8", sees=True):
        programs("nvidia-smi", SMI.format(cuda=cuda) if cuda else "exit 9")
        version = f"type('version', (), {{'cuda': {built!r}}})"
        available = f"type('cuda', (), {{'is_available': lambda: {sees}}})"
        text = f"__version__ = {torch!r}\nversion = {version}\ncuda = {available}\n"
        if not torch:
            text = "raise ModuleNotFoundError(\"No module named 'torch'\")\n"
        if torch == "broken":
            text = "raise ImportError('libcudart.so.12: cannot open')\n"
        (tmp_path / "fakes").mkdir(exist_ok=True)
        (tmp_path / "fakes" / "torch.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fakes"))

    return make


@pytest.mark.parametrize(
    ("settings", "status", "said"),
    [
        ({}, "ok", "driver 535.161.08 for CUDA 12.2; torch 2.10.0 built for CUDA 12.8 detects it"),
        ({"built": "13.0", "sees": False}, "FAILS", "for CUDA 12.2, and torch is built for CUDA 13.0"),
        ({"built": None, "sees": False}, "FAILS", "is a build for CPUs"),
        ({"sees": False}, "FAILS", "detects no usable GPU"),
        ({"cuda": ""}, "FAILS", "no NVIDIA driver answers on this machine"),
        ({"torch": "broken"}, "FAILS", "torch cannot be imported: ImportError: libcudart.so.12"),
        ({"torch": ""}, "note", "torch (built for CUDA 12.8) is not installed in this Python"),
        ({"torch": "", "cuda": "11.4"}, "FAILS", "for CUDA 11.4, and torch is built for CUDA 12.8"),
    ],
)
def test_driver_and_torch(node, settings, status, said):
    node(**settings)
    (finding,) = gpu.check_gpu_here(PROFILE)
    assert finding.status == status
    assert said in finding.text


def test_no_gpu_here(programs):
    assert worst(gpu.check_gpu_here(PROFILE)).status == "note"
    programs("sbatch", "true")
    assert "GPU=1" in gpu.check_gpu_here(PROFILE)[0].text


@pytest.fixture
def no_waiting(monkeypatch):
    monkeypatch.setattr(gpu.time, "sleep", lambda seconds: None)


SBATCH = """for argument; do
case "$argument" in --output=*) out=${argument#--output=} ;; esac
script=$argument
done
echo 42
echo "$@" > %s
SLURMD_NODENAME=g7 sh "$script" > "$out" 2>&1 || true"""


def test_a_gpu_job_says_what_its_node_has(cluster, node, tmp_path):
    node()
    cluster("sbatch", SBATCH % (tmp_path / "asked"))
    folder = tmp_path / "run"
    folder.mkdir()
    profile = profile_with(tmp_path, gpu_kind="a100", account="lab")
    seen, visible = gpu.check_gpu_node(profile, folder, 60)
    assert (seen.status, visible.status) == ("ok", "ok")
    assert "NVIDIA A100-SXM4-80GB on g7, driver 535.161.08" in seen.text
    assert visible.text == f"{folder} is visible on g7"
    asked = (tmp_path / "asked").read_text().split()
    assert {"--gpus=a100:1", "--partition=gpu", "--account=lab", "--time=5"} <= set(asked)
    assert os.listdir(folder) == []


def test_a_gpu_job_that_is_refused(cluster, tmp_path):
    cluster("sbatch", "echo 'sbatch: error: invalid account'; exit 1")
    finding = failing(gpu.check_gpu_node(PROFILE, tmp_path, 60))
    assert finding.text == "SLURM refused it: sbatch: error: invalid account"


def test_a_gpu_job_whose_node_does_not_see_the_folder(cluster, no_waiting, tmp_path):
    cluster("sbatch", "echo 42")
    finding = failing(gpu.check_gpu_node(PROFILE, tmp_path, 60))
    assert finding.text == f"started, but returned no output: {tmp_path} is not visible on its node"


def test_a_gpu_job_whose_node_does_not_see_the_project(monkeypatch, cluster, no_waiting, tmp_path):
    cluster("sbatch", SBATCH % (tmp_path / "asked"))
    monkeypatch.setattr(gpu.sys, "executable", "/no/such/python")
    finding = failing(gpu.check_gpu_node(PROFILE, tmp_path, 60))
    assert finding.text.startswith("started on g7, but did not finish: ")
    assert "/no/such/python" in finding.text


def test_a_gpu_job_that_does_not_begin_is_cancelled(cluster, tmp_path):
    cluster("sbatch", "echo 42")
    cluster("squeue", "echo 'PENDING|Priority'")
    cluster("scancel", f"echo $1 > {tmp_path / 'cancelled'}")
    (finding,) = gpu.check_gpu_node(PROFILE, tmp_path, 1)
    assert finding.status == "note"
    assert finding.text == "not started after 1 s (Priority): cancelled"
    assert (tmp_path / "cancelled").read_text() == "42\n"


def test_a_gpu_job_is_not_sent_in_vain(programs, tmp_path):
    assert "no sbatch" in worst(gpu.check_gpu_node(PROFILE, tmp_path, 1)).text
    programs("sbatch", "exit 1")
    assert "gpus: 0" in worst(gpu.check_gpu_node(profile_with(tmp_path, gpus=0), tmp_path, 1)).text
    assert "correct the profile" in worst(gpu.check_gpu_node(tmp_path / "none", tmp_path, 1)).text
    assert "mkdir" in worst(gpu.check_gpu_node(PROFILE, tmp_path / "none", 1)).remedy


def test_half_an_answer_is_none():
    assert gpu._answered('g7\n{"driver": "5') == {}
    assert gpu._answered("g7\nwarning\n" + json.dumps({"driver": "535"})) == {
        "node": "g7",
        "driver": "535",
    }
