"""Small words of a wish: those that negate, compare, join, separate, or say nothing about a product."""

NOT = """
not | no | without | except | except for | excluding | other than | apart from | aside from | anything but | everything
but | any but | all but | avoid | avoiding | get rid of | rid of | non | minus | remove | removes | removed | removing |
drop | lose | loses | take off | take out | take away | leave out | leave off | omit | skip | ditch | hate | hates |
dislike | never | lacks | lacking | lack | free of | free from | missing | nor | neither | none | no longer | no more |
cannot stand | can not stand | fed up with | sick of | tired of | instead of | rather than | in place of | in lieu of |
as opposed to | different from | different than | different to | delete | eliminate | exclude | excludes | stop with |
sans | nothing | hardly any | barely any | enough of | stop showing | stop showing me | do not show | do not show me |
do not give me | detest | detests | despise | loathe | nix | hold the | forget the | save for | barring | besides | zero
| anti | devoid of | absent | no thanks to | no need for
"""
LESS = """
less | fewer | too | too much | too many | way too | far too | much too | a bit too | a little too | overly | not so | not
so much | not so many | not as | not as much | not as many | not too | not too much | not too many | not that | not very |
not overly | tone down | reduce | reduced | less of | fewer of | without so much | without so many
"""
MORE = "more | much more | some more | even more | rather | prefer | preferably | nothing but | only"
START = """
i want | i need | i would like | i would prefer | i prefer | i am looking for | looking for | give me | show me | make it
| should be | must be | has to be | needs to be | please make
"""
VERB = """
with | in | has | have | having | is | are | be | being | make | makes | made | add | adds | adding | comes | includes |
include
"""
REPLACE = "replace | replaces | replaced | swap | swapped | exchange | substitute"
CHANGE = "change | changes | changed | turn | switch | convert | from"
DIFFERENT = "different | another | other | some other | any other | new"
SAME = "same | the same | this | that | exact | keep | keeps"
ANY = "any | anything | all | every | everything | whatever"
BREAK = "while | also | though | although | however | yet | plus | then | so"
AND, OR, BUT, FREE = "and", "or", "but", "free"
AGAINST = "no thanks | no thank you | no go | no way | ugly | not for me | does not suit me | do not suit me"
NUMBER = "one | two | three | four | five | six | single | double | triple"
FILLER = """
a | about | all over | am | an | around | as | at | back | background | bit | both | bottom | buy | buying | by | can |
center | centre | chest | colored | coloured | come | could | design | designs | desired | did | do | do not care | do
not mind | does | down | even | exactly | feature | features | featuring | few | find | for | front | get | give | got |
had | hello | here | hi | i | i'd | i'll | i'm | if | instead | into | it | it'd | it's | item | items | its | just |
kind | let | let's | like | liked | likes | little | longer than | no more than | not more than | at most | at least |
up to | look | looking | looks | lot | lots | love | many | may | maybe | me | middle | much | my | my own | need |
needs | not just | not only | of | ok | okay | on | ones | option | order | out | over | overall | perhaps | photo |
picture of | piece | please | possible | product | put | quite | really | see | seen | should | shoulder | shoulders |
show | side | sides | similar | slightly | some | something | sort | style | styles | than | thank | thanks | that one |
that's | the | their | them | there | these | they | thing | things | this one | those | to | top of | type | up | us |
variant | version | versions | very | want | wanted | wants | was | we | wear | wearing | were | what | which | who |
will | wish | worn | would | you | your
"""
FOREIGN = """
ohne statt mit und oder nicht kein keine keinen der das ein eine einen dem des anstatt aber mehr weniger für bitte ich möchte
sondern ist sind zonder geen met niet maar een het voor minder meer liever
pas avec pour une le les du au aux mais ou et plutôt moins je veux est lieu sauf autre en
sin con para una el los las pero y del al quiero sino menos más sem com não nao uma em por mais amb
senza di il lo gli della dello nel nella più meno ma invece
utan med och inte uden og ikke ilman bez nie ale olmadan
"""  # German, Dutch, French, Spanish, Portuguese, Italian, Swedish, ... words that no English wish contains


def phrases(listed: str) -> list[tuple[str, ...]]:
    """Splits each phrase of a list above into words."""
    return [tuple(phrase.split()) for phrase in listed.split("|")]
