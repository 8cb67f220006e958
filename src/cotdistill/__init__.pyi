# The public names: read by type checkers and, for their modules, by `__init__.py`.

from cotdistill.api.result import Result as Result
from cotdistill.api.result import run as run
from cotdistill.contracts import AnswerType as AnswerType
from cotdistill.contracts import Ask as Ask
from cotdistill.contracts import Engine as Engine
from cotdistill.contracts import EnginePlugin as EnginePlugin
from cotdistill.contracts import Executor as Executor
from cotdistill.contracts import Filter as Filter
from cotdistill.contracts import Job as Job
from cotdistill.contracts import Method as Method
from cotdistill.contracts import Model as Model
from cotdistill.contracts import Objective as Objective
from cotdistill.contracts import Operational as Operational
from cotdistill.contracts import Strategy as Strategy
from cotdistill.contracts import Student as Student
from cotdistill.contracts import TargetBatch as TargetBatch
from cotdistill.contracts import Task as Task
from cotdistill.contracts import Teacher as Teacher
from cotdistill.contracts import TrainResult as TrainResult
from cotdistill.contracts import TrainSettings as TrainSettings
from cotdistill.errors import CotdistillError as CotdistillError
from cotdistill.errors import UserError as UserError
from cotdistill.recipe import Recipe as Recipe
from cotdistill.recipe import load_recipe as load_recipe
from cotdistill.recipe import parse_recipe as parse_recipe
from cotdistill.records import NO_ANSWER as NO_ANSWER
from cotdistill.records import Answer as Answer
from cotdistill.records import Completion as Completion
from cotdistill.records import Example as Example
from cotdistill.records import Message as Message
from cotdistill.records import Question as Question
from cotdistill.records import Rationale as Rationale
from cotdistill.records import Request as Request
from cotdistill.records import Step as Step
from cotdistill.records import Verdict as Verdict
from cotdistill.serving.system import Reply as Reply
from cotdistill.serving.system import System as System
from cotdistill.serving.system import load_system as load_system

__version__: str
