"""Files as each program writes them, shortened."""

OWN = """\
{"format":"todo/1","exported_at":"2026-12-01T08:00:00.000000Z","tasks":[
{"id":"01a20492-eb95-712e-8878-69b05f01324d","title":"Buy milk","notes":"oat","due":{"date":"2026-12-24",\
"time":"17:30","time_zone":"Europe/Berlin"},"priority":"high","labels":["shop"],"completed":true,\
"completed_at":"2026-11-23T18:44:27.157918Z","user_id":"ann","created_at":"2026-11-22T18:44:27.157918Z",\
"updated_at":"2026-11-23T18:44:27.157918Z","revision":2},
{"id":"01a20493-0000-712e-8878-69b05f01324d","title":"Call Bob","notes":null,"due":null,"priority":null,"labels":[],\
"completed":false,"completed_at":null,"user_id":"ann","created_at":"2026-11-22T18:44:28.157918Z",\
"updated_at":"2026-11-22T18:44:28.157918Z","revision":1}],
"trash":[{"id":"01a20494-0000-712e-8878-69b05f01324d","title":"Gone"}]}
"""

TODOIST = """\
TYPE,CONTENT,DESCRIPTION,PRIORITY,INDENT,AUTHOR,RESPONSIBLE,DATE,DATE_LANG,TIMEZONE,DURATION,DURATION_UNIT,DEADLINE
meta,view_style=list,,,,,,,,,,,
task,Buy milk @errands,"Two cartons, oat",1,1,Ann (1),,2026-12-24 17:30,en,Europe/Berlin,,None,
note,"Organic, if they have it",,,,Ann (1),,,,,,,
task,Check the fridge,,4,2,Ann (1),Bob (2),Dec 24 2026,en,US/Central,30,minute,2026-12-31
,,,,,,,,,,,,
section,Home,,,,,,,,,,,
task,Water the plants @deep_work @garden,,,1,Ann (1),,every day,en,Europe/Berlin,,,
task,Mail ann@example.org,,2,1,Ann (1),,24 Dec,en,Europe/Berlin,,,
task,Mail ann@example.org,,2,1,Ann (1),,24 Dec,en,Europe/Berlin,,,
"""

GOOGLE = """\
{"kind": "tasks#taskLists", "items": [
  {"kind": "tasks#taskList", "id": "bGlzdDE", "title": "My Tasks", "updated": "2026-11-22T18:44:27.157Z",
   "selfLink": "https://www.googleapis.com/tasks/v1/users/@me/lists/bGlzdDE", "items": [
    {"kind": "tasks#task", "id": "dGFzazE", "title": "Buy milk", "task_type": "PERSONAL_TASK", "notes": "oat",
     "status": "needsAction", "due": "2026-12-24T00:00:00Z", "created": "2026-11-22T18:44:27Z",
     "links": [{"type": "email", "description": "Shopping", "link": "https://mail.google.com/mail/#all/1"}]},
    {"kind": "tasks#task", "id": "dGFzazI", "title": "Call Bob", "parent": "dGFzazE", "status": "completed",
     "completed": "2026-11-23T10:00:00.000Z", "hidden": true},
    {"kind": "tasks#task", "id": "dGFzazM", "title": "Gone", "status": "needsAction", "deleted": true},
    {"kind": "tasks#task", "id": "dGFzazQ", "title": 5, "status": "needsAction"}]},
  {"kind": "tasks#taskList", "id": "bGlzdDI", "title": "Garden", "items": [
    {"kind": "tasks#task", "id": "dGFzazU", "title": "", "notes": "Rake\\nleaves", "status": "needsAction"}]},
  {"kind": "tasks#taskList", "id": "bGlzdDM", "title": "Empty"}]}
"""

MICROSOFT = """\
[{"@odata.etag": "W/\\"x\\"", "displayName": "Tasks", "wellknownListName": "defaultList", "id": "AQMk1", "tasks": [
   {"@odata.etag": "W/\\"y\\"", "importance": "high", "isReminderOn": true, "status": "notStarted",
    "title": "Buy milk", "createdDateTime": "2026-11-22T18:44:27.15Z", "id": "AAMk1", "hasAttachments": false,
    "categories": ["Red category"],
    "body": {"content": "<html><head><style>p {}</style></head>\\r\\n<body><div>Oat &amp; soy</div><div>1 &lt; 2</div>\
</body></html>", "contentType": "html"},
    "dueDateTime": {"dateTime": "2026-12-24T00:00:00.0000000", "timeZone": "Pacific Standard Time"},
    "recurrence": {"pattern": {"type": "daily", "interval": 1}, "range": {"type": "noEnd"}},
    "checklistItems": [{"displayName": "Look", "isChecked": true}, {"displayName": "Pay", "isChecked": false}]}]},
 {"displayName": "Work", "wellknownListName": "none", "id": "AQMk2", "tasks": [
   {"importance": "low", "status": "completed", "title": "Report", "id": "AAMk2", "body": {"content": "a < b",
    "contentType": "text"}, "recurrence": null,
    "dueDateTime": {"dateTime": "2026-12-24T17:30:00.0000000", "timeZone": "W. Europe Standard Time"}},
   {"importance": "normal", "status": "inProgress", "title": "Plan", "id": "AAMk3",
    "dueDateTime": {"dateTime": "2026-12-24T16:30:00.0000000", "timeZone": "UTC"}}]}]
"""

TODOTXT = """\
(A) Thank Mom for the meatballs @phone
(D) 2026-11-22 Schedule Goodwill pickup +GarageSale @phone due:2026-12-24
x 2026-11-23 2026-11-22 Review tim's pull request +TodoTxtTouch @github pri:B

Water the plants rec:1w due:tomorrow
Water the plants rec:1w due:tomorrow
"""

TASKWARRIOR = """\
[
{"id":1,"description":"Buy milk","due":"20261224T163000Z","entry":"20261122T184427Z","modified":"20261122T184427Z",\
"priority":"H","project":"Home.Kitchen","status":"pending","tags":["shop","next"],\
"uuid":"a360fc44-315c-4366-b70c-ea7e7520b749","annotations":[{"entry":"20261122T184500Z","description":"oat"}],\
"urgency":15.3},
{"id":2,"description":"Pay rent","due":"20270101T000000Z","entry":"20261122T184427Z","status":"waiting",\
"wait":"20261228T000000Z","recur":"monthly","parent":"b360fc44-315c-4366-b70c-ea7e7520b749",\
"uuid":"c360fc44-315c-4366-b70c-ea7e7520b749","depends":["a360fc44-315c-4366-b70c-ea7e7520b749"],"urgency":1},
{"id":3,"description":"Pay rent","recur":"monthly","status":"recurring","uuid":"b360fc44-315c-4366-b70c-ea7e7520b749"},
{"id":0,"description":"Gone","status":"deleted","uuid":"d360fc44-315c-4366-b70c-ea7e7520b749"},
{"id":0,"description":"Call Bob","end":"20261123T100000Z","status":"completed",\
"uuid":"e360fc44-315c-4366-b70c-ea7e7520b749"}
]
"""

ICS = """\
BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//Mozilla.org/NONSGML Mozilla Calendar V1.1//EN\r
BEGIN:VTIMEZONE\r
TZID:Europe/Berlin\r
BEGIN:STANDARD\r
DTSTART:19701025T030000\r
RRULE:FREQ=YEARLY;INTERVAL=0;BYDAY=-1SU;BYMONTH=10\r
TZOFFSETFROM:+0200\r
TZOFFSETTO:+0100\r
END:STANDARD\r
END:VTIMEZONE\r
BEGIN:VTODO\r
UID:8a1c-1@example.org\r
DTSTAMP:20261122T184427Z\r
SUMMARY:Buy milk\\, oat\\; "C:\\\\new"\r
DESCRIPTION;ALTREP="cid:part1@example.org":Two \r
 cartons\\nor three\r
DUE;TZID=Europe/Berlin:20261224T173000\r
PRIORITY:3\r
CATEGORIES:shop,a\\,b\r
CATEGORIES:next\r
RRULE:FREQ=DAILY\r
STATUS:IN-PROCESS\r
BEGIN:VALARM\r
ACTION:DISPLAY\r
DESCRIPTION:Not of the task\r
TRIGGER:-PT15M\r
END:VALARM\r
END:VTODO\r
BEGIN:VTODO\r
UID:8a1c-2@example.org\r
SUMMARY:All day\r
DUE;VALUE=DATE:20261224\r
COMPLETED:20261123T100000Z\r
LOCATION:Berlin\r
PRIORITY:0\r
END:VTODO\r
BEGIN:VTODO\r
UID:8a1c-3@example.org\r
SUMMARY:Floating\r
DUE:20261224T173000\r
STATUS:NEEDS-ACTION\r
PRIORITY:5\r
END:VTODO\r
BEGIN:VTODO\r
UID:8a1c-4@example.org\r
SUMMARY:UTC\r
DUE:20261224T163005Z\r
STATUS:COMPLETED\r
PRIORITY:6\r
END:VTODO\r
BEGIN:VTODO\r
UID:8a1c-5@example.org\r
SUMMARY:Outlook\r
DUE;TZID="W. Europe Standard Time":20261224T173000\r
END:VTODO\r
BEGIN:VTODO\r
UID:8a1c-6@example.org\r
SUMMARY:Called off\r
STATUS:CANCELLED\r
END:VTODO\r
BEGIN:VEVENT\r
UID:8a1c-7@example.org\r
SUMMARY:A party\r
END:VEVENT\r
END:VCALENDAR\r
"""

SAMPLES = {
    "json": OWN,
    "todoist": TODOIST,
    "google": GOOGLE,
    "microsoft": MICROSOFT,
    "todotxt": TODOTXT,
    "taskwarrior": TASKWARRIOR,
    "ics": ICS,
}
