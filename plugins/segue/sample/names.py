"""Names in many scripts, because a directory that only holds ASCII proves nothing.

Each name is `native:latin`; the latin form becomes part of an email address. The names that look
like markup, mentions or templates are real inputs too: messages must show them, not obey them.
"""

from __future__ import annotations

from dataclasses import dataclass

Name = tuple[str, str]  # as the contact writes it, and in ASCII for an address


@dataclass(frozen=True, slots=True)
class Culture:
    """The names, cities and language that go together."""

    weight: int  # how many contacts are of it, beside the others
    language: str
    country: str
    given: tuple[Name, ...]
    family: tuple[Name, ...]
    cities: tuple[str, ...]


def _culture(text: str) -> Culture:
    head, first_names, last_names, cities = text.strip().split("\n")
    weight, language, country = head.split()
    names = _names(first_names), _names(last_names)
    return Culture(int(weight), language, country, *names, tuple(cities.split(", ")))


def _names(text: str) -> tuple[Name, ...]:
    pairs = (word.partition(":") for word in text.split())
    return tuple((native, latin or native.lower()) for native, _, latin in pairs)


# Of each: weight, language and country; given names; family names; cities.
_CULTURES = """
30 en GB
Grace Oliver Amelia Harry Niamh:niamh Seán:sean Chloë:chloe Alfie Ruth Tom
Hughes Okafor:okafor Bennett O'Neill:oneill Smyth-Jones:smythjones Marsh Doyle Webb
London, Leeds, Cardiff, Belfast

5 es ES
Lucía:lucia Íñigo:inigo Begoña:begona Andrés:andres María:maria Jesús:jesus
Núñez:nunez García:garcia Ibáñez:ibanez Peña:pena Gómez:gomez
Sevilla, A Coruña, Málaga

6 fr FR
Zoé:zoe Loïc:loic Françoise:francoise Théo:theo Maëlle:maelle Benoît:benoit
Lefèvre:lefevre Dubois Ménard:menard Gagné:gagne D’Aubigné:daubigne
Lyon, Besançon, Orléans

6 de DE
Jürgen:juergen Käthe:kaethe Sören:soeren Lena Björn:bjoern Anja
Müller:mueller Groß:gross Schäfer:schaefer Köhler:koehler Weiß:weiss
München, Köln, Görlitz

4 pl PL
Łukasz:lukasz Małgorzata:malgorzata Zażółć:zazolc Wojciech Agnieszka
Wiśniewska:wisniewska Dąbrowski:dabrowski Żak:zak Święcicki:swiecicki
Łódź, Kraków, Gdańsk

4 tr TR
İpek:ipek Işıl:isil Çağla:cagla Oğuz:oguz Şule:sule
Yıldız:yildiz Öztürk:ozturk Şahin:sahin Güneş:gunes
İstanbul, İzmir, Eskişehir

4 vi VN
Ngọc:ngoc Hương:huong Đức:duc Thảo:thao Dũng:dung
Nguyễn:nguyen Trần:tran Phạm:pham Đặng:dang
Hà Nội, Huế, Đà Nẵng

2 is IS
Þóra:thora Ægir:aegir Guðrún:gudrun Örn:orn
Jónsdóttir:jonsdottir Þorsson:thorsson Sigurðsson:sigurdsson
Reykjavík, Ísafjörður

5 el GR
Ελένη:eleni Γιώργος:giorgos Αθηνά:athina Νίκος:nikos Δήμητρα:dimitra
Παπαδοπούλου:papadopoulou Κωνσταντίνου:konstantinou Λάμπρου:lamprou
Αθήνα, Θεσσαλονίκη, Χανιά

5 uk UA
Оксана:oksana Тарас:taras Їжак:yizhak Ганна:hanna Євген:yevhen
Шевченко:shevchenko Ґалаґан:galagan Ковальчук:kovalchuk Бойко:boiko
Київ, Львів, Чернівці

3 bg BG
Йоана:yoana Щерю:shteryu Борислав:borislav Цветелина:tsvetelina
Димитрова:dimitrova Ангелов:angelov Йорданов:yordanov
София, Пловдив, Варна

6 ar EG
فاطمة:fatima محمد:mohamed ليلى:layla يوسف:youssef نور:nour
الحسيني:alhussaini عبدالله:abdallah المصري:elmasry خوري:khoury
القاهرة, الإسكندرية, أسوان

4 he IL
נועה:noa יוסי:yossi תמר:tamar אריאל:ariel
כהן:cohen לוי:levi בן־דוד:bendavid פרידמן:friedman
תל אביב, חיפה, ירושלים

5 hi IN
प्रिया:priya अर्जुन:arjun कृष्णा:krishna श्रीधर:shridhar
शर्मा:sharma त्रिपाठी:tripathi वर्मा:verma
दिल्ली, वाराणसी, जयपुर

2 ta IN
கயல்விழி:kayalvizhi முருகன்:murugan செல்வி:selvi
சுப்பிரமணியன்:subramanian பழனிசாமி:palanisamy
சென்னை, மதுரை

7 zh CN
伟:wei 秀英:xiuying 子涵:zihan 建国:jianguo 雨桐:yutong
王:wang 李:li 欧阳:ouyang 陈:chen 𠮷:ji
北京, 上海, 成都

6 ja JP
さくら:sakura 健太:kenta ユキ:yuki 翔:sho 陽菜:hina
佐藤:sato 髙橋:takahashi 渡邉:watanabe 鈴木:suzuki
東京, 大阪, 札幌

5 ko KR
지우:jiwoo 민준:minjun 서연:seoyeon 하늘:haneul
김:kim 이:lee 박:park 황보:hwangbo
서울, 부산, 광주

3 th TH
สมชาย:somchai กนกวรรณ:kanokwan ณัฐ:nat
ศรีสุข:srisuk วงศ์สวัสดิ์:wongsawat
กรุงเทพฯ, เชียงใหม่

2 ka GE
ნინო:nino გიორგი:giorgi თამარ:tamar
ბერიძე:beridze კაპანაძე:kapanadze
თბილისი, ბათუმი
"""
CULTURES = tuple(map(_culture, _CULTURES.split("\n\n")))

# First and last names that a careless channel would obey: markup, mentions, templates, formulas.
HOSTILE: tuple[tuple[str, str], ...] = (
    ("Síle", "O'Brien <b>"),
    ("<!channel>", "Ng"),
    ("{{ contact.email }}", "Sandoval"),
    ("=HYPERLINK(1)", "D'Souza & Sons"),
    ("Zoe\u0301 🦊", 'de "la" Cruz'),  # a combining accent and a character outside the BMP
    ("<https://example.com|Anna>", "@here"),
    ("*Bold* _Ida_", "</script>"),
    ("\u202eadI", "Rtl"),  # a right-to-left override that is never closed
)
